"""What a source is: the seam between the compute node and whatever brings inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.packages import KeepPackages, PackagesState
from bacalhau_jupyter.plugins.contract import Availability, Bid, InputMount, Progress, no_progress

__all__ = [
    "Availability",
    "Bid",
    "FetchRequest",
    "IdentifyingSource",
    "InputMount",
    "KeepsPackages",
    "LocatingSource",
    "Packages",
    "Source",
    "identity_of",
]


@dataclass(frozen=True)
class FetchRequest:
    """One input of one execution. ``directory`` is empty and private (0700); what is in it is the compute node's."""

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


@runtime_checkable
class IdentifyingSource(Protocol):
    """A source that can tell which bytes it would bring; what it brings is shared between executions.

    Implemented beside `Source`, by sources for which asking is much cheaper than fetching.
    """

    async def identity(self, execution: Execution, input_source: InputSource) -> str | None:
        """Name the bytes that `Source.fetch` would bring now, or None when they can't be named.

        Two inputs with the same identity always hold the same bytes in the same layout: it is
        made of checksums, versions, ETags or CIDs with their names, and of the source's type, never of a
        place alone. What differs by credentials belongs into it. Fetching goes on to be right when the bytes change
        meanwhile: a source that notices says in `InputMount.identity` what it brought instead.

        Raises
        ------
        BacalhauError
            It is unknown; the fetch is tried all the same.
        """
        ...


@runtime_checkable
class LocatingSource(Protocol):
    """A source whose inputs may lie on this node already (``JobAdmissionControl.Locality``).

    Implemented beside `Source`; a source without it brings its inputs from elsewhere.
    """

    async def is_local(self, execution: Execution, input_source: InputSource) -> bool:
        """Say whether the input can be had without the network.

        Raises
        ------
        BacalhauError
            It is unknown.
        """
        ...


class Packages(Protocol):
    """The sets of Python packages of this host that a source brings to jobs: those that were registered, no others."""

    async def find(self, request: str) -> PackagesState:
        """Return the set that a request was resolved to, else a draft; only for the node's own user.

        Raises
        ------
        BacalhauError
            There is no room for a draft.
        """
        ...

    async def keep(self, draft: str, order: KeepPackages) -> PackagesState:
        """Turn a draft into a set, and return its name; only for the node's own user.

        Raises
        ------
        BacalhauError
            The draft is not there, is too large, or holds something else than files.
        """
        ...

    async def drop(self, draft: str) -> None:
        """Give a draft up."""
        ...

    async def clear(self) -> DiskUsage:
        """Remove what no job uses; return what is gone."""
        ...

    def usage(self) -> DiskUsage:
        """Say how much is kept."""
        ...


@runtime_checkable
class KeepsPackages(Protocol):
    """A source that brings sets of Python packages."""

    @property
    def packages(self) -> Packages:
        """The sets."""
        ...


def not_brought(error: BacalhauError) -> Bid:
    """Return the refusal of an input, with the hint if there is one: the error itself is not shown."""
    way_out = f" ({error.hint})" if error.hint else ""
    return Bid(accepted=False, reason=f"this node can't bring an input: {error.message}{way_out}")


async def identity_of(source: Source, execution: Execution, input_source: InputSource) -> str | None:
    """Return a source's `IdentifyingSource.identity`; None for sources without one."""
    if not isinstance(source, IdentifyingSource):
        return None
    return await source.identity(execution, input_source)
