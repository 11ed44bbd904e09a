"""What a publisher is: the seam between the compute node and wherever results go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from bacalhau_jupyter.engines.base import Availability, Bid, Progress, no_progress
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.node import DiskUsage
from bacalhau_jupyter.models.spec import SpecConfig

__all__ = ["Availability", "Bid", "KeepingPublisher", "PublishRequest", "Publisher"]


@dataclass(frozen=True)
class PublishRequest:
    """The finished result directory: ``stdout``, ``stderr``, ``exitCode`` and one directory per result path."""

    execution: Execution
    directory: Path
    progress: Progress = no_progress

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
            It can't be published; nothing half-written is left under the final name.
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

    async def clear(self, older_than_s: float) -> DiskUsage:
        """Remove results of finished jobs that were published so many seconds ago; return what is gone."""
        ...
