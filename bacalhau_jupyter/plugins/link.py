"""The way to a machine elsewhere on which an engine works: it may break and come back, and that fails no job.

An engine that works through such a way has it as ``link`` (`LinkedEngine`). While the link is not ready, work that is
there goes on, reports of it wait, and new work goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bacalhau_jupyter.models.records.hosts import HostState


@dataclass(frozen=True)
class HostStatus:
    """How the way to a host is.

    Attributes
    ----------
    problem
        Why it is not ready, one sentence for people that names the host; empty while it is.
    hint
        What a person can do about it; may be empty.
    since_ns
        Since when it is in this state, Unix nanoseconds.
    way
        How calls get there, for people: ``ssh``, ``ssh, through docker system dial-stdio``, ``tcp with TLS``,
        ``socket``.
    is_engine_off
        Whether the host was reached and its engine was not there: what ran in containers may have ended with it.
    """

    state: HostState
    problem: str = ""
    hint: str = ""
    since_ns: int = 0
    way: str = ""
    is_engine_off: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether calls can be made."""
        return self.state in (HostState.READY, HostState.PAUSED)


class HostLink(Protocol):
    """Keeps the way to one host open, and says how it is. `status` may be read from any thread."""

    @property
    def name(self) -> str:
        """What people call the host."""
        ...

    @property
    def status(self) -> HostStatus:
        """How the way is now."""
        ...

    def watch(self, listener: Callable[[HostStatus], None]) -> Callable[[], None]:
        """Call a listener on the event loop at each change; the returned function ends that."""
        ...

    async def start(self) -> None:
        """Begin to connect, and go on trying; returns at once."""
        ...

    async def ready(self) -> None:
        """Wait until calls can be made, however long that takes."""
        ...

    def broke(self, reason: str) -> None:
        """Look at the way at once, because a call has failed; from any thread."""
        ...

    def again(self) -> None:
        """Try now, at a person's wish, what was refused or is waiting for its next turn."""
        ...

    async def run(self, script: str, timeout_s: float) -> str:
        """Run a shell script on the host, and return what it printed to stdout.

        Raises
        ------
        NotImplementedHere
            The way leads to a Docker Engine only, not to a shell.
        NetworkFailure
            The host does not answer, or not in time.
        """
        ...

    async def close(self) -> None:
        """End the way and all processes of it; what runs on the host goes on."""
        ...


@runtime_checkable
class LinkedEngine(Protocol):
    """An engine that works elsewhere, through a link."""

    @property
    def link(self) -> HostLink | None:
        """The link; None where the engine is on this machine."""
        ...
