"""What a source is: the seam between the compute node and whatever brings inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.engines.base import Availability, Bid, InputMount, Progress, no_progress
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.spec import InputSource

__all__ = ["Availability", "Bid", "FetchRequest", "InputMount", "Source"]


@dataclass(frozen=True)
class FetchRequest:
    """One input of one execution. ``directory`` is empty, private (0700) and removed with the execution."""

    execution: Execution
    input: InputSource
    directory: Path
    progress: Progress = no_progress


class Source(Protocol):
    """Fetches inputs of one or more storage types. Methods never block the event loop."""

    types: tuple[str, ...]
    """Storage types on the wire, lower case; the first one is listed in node info."""

    async def probe(self) -> Availability:
        """Find out, once at start, whether this source works here."""
        ...

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        """Say whether this node may and can bring the input (allow-lists, parameters)."""
        ...

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Bytes the input will take on disk; 0 when unknown."""
        ...

    async def fetch(self, request: FetchRequest) -> InputMount:
        """Bring the input to disk and say what to mount where.

        Raises
        ------
        BacalhauError
            It can't be brought; the sentence names the source and the reason.
        """
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
