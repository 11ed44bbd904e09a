"""What the node hands to every engine, source and publisher that it creates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.models.jobs.spec import SpecConfig


class UploadLinks(Protocol):
    """Where a publisher without its own credentials may upload to; the orchestrator signs."""

    async def problem(self) -> str:
        """Say in one sentence why the orchestrator signs nothing; empty when it does, or when this is unknown."""
        ...

    async def link(self, job_id: str, execution_id: str) -> str:
        """Return a link that takes the archive of an execution by PUT.

        Raises
        ------
        BacalhauError
            The orchestrator refuses, or can't be reached.
        """
        ...

    async def keep(self, execution_id: str, archive: Path) -> bool:
        """Hand an archive to the orchestrator of this process; False where it has to be sent to a link.

        Raises
        ------
        BacalhauError
            It can't be kept, or is not wanted.
        """
        ...


class ResultReferences(Protocol):
    """What stands for results on this disk, for an orchestrator that can't sign links to them."""

    @property
    def problem(self) -> str:
        """Say in one sentence why nobody could fetch them; empty where they can."""
        ...

    def reference(self, execution_id: str, node_id: str) -> SpecConfig:
        """Return what a client of any kind can download."""
        ...


@dataclass(frozen=True)
class StoredFile:
    """A file of this node's own store, to which a link of this node leads.

    Attributes
    ----------
    name
        The name that the link gives it.
    identity
        Which bytes it holds: equal for equal bytes.
    is_content
        Whether it is an upload: nothing writes to it any more, and jobs may get links to the file itself.
    """

    path: Path
    name: str
    identity: str
    is_content: bool = False


async def _none_known() -> Collection[str]:
    return ()


def _never(path: Path) -> bool:
    return False


@dataclass(frozen=True)
class PluginOptions:
    """What the node hands to every engine, source and publisher it creates.

    Attributes
    ----------
    node_id
        This compute node.
    data_dir
        The compute node's directory (absolute).
    settings
        Looks up a configuration key by its official name (``"Compute.AllowListedLocalPaths"``).
    hidden
        Paths no job may ever see (repo directory, keys).
    upload_links
        Where the orchestrator keeps results; None where it can't be requested.
    writable
        Whether the configuration lets jobs write at a real path of this host.
    stored
        Returns the file behind a link that this node signed, None for any other URL. May block; raises BacalhauError
        for a link whose time is over, or whose file is gone.
    unfinished
        Tells the IDs of executions whose job is not over, as far as this node can know.
    results
        Stands for results on this disk; None where the orchestrator is in this process, and signs links itself.
    """

    node_id: str
    data_dir: Path
    settings: Callable[[str], Any] = lambda key: None
    hidden: tuple[Path, ...] = ()
    clock: Clock = field(default_factory=SystemClock)
    upload_links: UploadLinks | None = None
    writable: Callable[[Path], bool] = _never
    stored: Callable[[str], StoredFile | None] = lambda url: None
    unfinished: Callable[[], Awaitable[Collection[str]]] = _none_known
    results: ResultReferences | None = None
