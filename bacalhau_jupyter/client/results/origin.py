"""What a result needs from its job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from bacalhau_jupyter.client.connection.portal import Portal
from bacalhau_jupyter.client.results.tree import ResultTree
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution


class Origin(Protocol):
    """Opens the results of one job. `Job` does; a test can do it without a cluster."""

    @property
    def short_id(self) -> str:
        """The job's ID as people see it."""
        ...

    @property
    def portal(self) -> Portal:
        """The event loop thread on which results are fetched."""
        ...

    @property
    def features(self) -> Collection[str]:
        """What the job's cluster offers beyond the official API."""
        ...

    def result_tree(self, executions: Sequence[Execution]) -> ResultTree:
        """Return the results as they lie where they were published; nothing is fetched yet."""
        ...

    def results(self) -> list[SpecConfig]:
        """Return where the results are, with URLs that are valid now."""
        ...

    def printed(self, stream: str) -> str:
        """Return all that the job's executions have printed to ``stdout`` or ``stderr`` so far."""
        ...
