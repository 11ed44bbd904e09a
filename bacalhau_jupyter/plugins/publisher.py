"""What a publisher is: the seam between the compute node and wherever results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.plugins.contract import Availability, Bid, InputMount, Progress, no_progress
from bacalhau_jupyter.transfer.core.gathering import MAX_NAME, Gathering, LeftOut
from bacalhau_jupyter.transfer.core.job_view import JobView

__all__ = ["Availability", "Bid", "KeepingPublisher", "PublishRequest", "Publisher"]


@dataclass(frozen=True)
class PublishRequest:
    """The finished result directory: ``stdout``, ``stderr``, ``exitCode`` and one directory per result path.

    Attributes
    ----------
    inputs
        What the job's links may mean besides its results: their contents are published then.
    prefixes
        Directories of the job's below which it saw inputs and results, too.
    left_out
        Gets what is not published, for the result's history; filled by the walk of `gathering`.
    """

    execution: Execution
    directory: Path
    progress: Progress = no_progress
    inputs: Sequence[InputMount] = ()
    prefixes: Sequence[str] = ()
    left_out: list[LeftOut] = field(default_factory=list)

    def gathering(self, component: str, *, links: bool = True, max_name: int = MAX_NAME) -> Gathering:
        """Return what to publish, entry by entry (see `Gathering` for the parameters)."""
        inputs = {mount.target: mount.path for mount in self.inputs if mount.target.startswith("/")}
        return Gathering(
            self.directory,
            JobView(self.directory, self.aliases, inputs, self.prefixes),
            component=component,
            links=links,
            max_name=max_name,
            left_out=self.left_out,
        )

    @property
    def aliases(self) -> dict[str, str]:
        """Where the job saw its result directories, so that its absolute links between results stay whole."""
        if self.execution.job is None or not self.execution.job.tasks:
            return {}
        return {
            result.path: result.name
            for result in self.execution.job.task.result_paths
            if result.path.startswith("/") and result.name
        }


class Publisher(Protocol):
    """Publishes results. Methods never block the event loop."""

    type: str
    """Publisher type on the wire, lower case."""

    async def probe(self) -> Availability:
        """Find out, once at start, whether this publisher works here."""
        ...

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        """Say whether this node can publish there (parameters, credentials)."""
        ...

    async def publish(self, request: PublishRequest) -> SpecConfig:
        """Publish the directory; doing it again for the same execution replaces the first try.

        Raises
        ------
        BacalhauError
            It can't be published; nothing half-written is left under the final name. One that is ``retryable``, or of
            the network, is tried again a few times.
        """
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...


@runtime_checkable
class KeepingPublisher(Protocol):
    """A publisher that keeps results on this node's own disk; implemented beside `Publisher`."""

    def usage(self) -> DiskUsage:
        """Say how much is kept. Answers from memory."""
        ...

    async def tidy(self) -> None:
        """Remove what was kept long enough; called from time to time."""
        ...

    async def remove(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions, whose job is deleted; return what is gone."""
        ...

    async def clear(self, older_than_s: float) -> DiskUsage:
        """Remove results of finished jobs that were published so many seconds ago; return what is gone."""
        ...
