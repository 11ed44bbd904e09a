"""What the service of hosts needs to reach one: links, engines, trials; the real ones are in `node.hosts.docker`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bacalhau_jupyter.compute.host.far import EngineQuestions
from bacalhau_jupyter.models.records.host_orders import HostStep
from bacalhau_jupyter.models.records.hosts import DockerContext, SshAlias
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.node.hosts.written.entries import HostEntry
from bacalhau_jupyter.plugins.contract import Progress
from bacalhau_jupyter.plugins.engine import Engine
from bacalhau_jupyter.plugins.link import HostLink
from bacalhau_jupyter.plugins.options import PluginOptions


@runtime_checkable
class PushingEngine(Protocol):
    """An engine that copies images of this machine to its own."""

    async def push(self, image: str, progress: Progress) -> int:
        """Copy an image; return how many bytes were sent.

        Raises
        ------
        BacalhauError
            It can't be copied.
        """
        ...


@runtime_checkable
class KeepingEngine(Protocol):
    """An engine where inputs stay for later jobs."""

    async def forget_inputs(self) -> DiskUsage:
        """Remove those that no job uses; return what is gone."""
        ...


class Leftover(Protocol):
    """A container or a volume that a node has on a host."""

    @property
    def owner(self) -> str: ...

    @property
    def node_id(self) -> str: ...

    @property
    def created_ns(self) -> int: ...

    @property
    def running(self) -> bool: ...

    @property
    def kind(self) -> str: ...


@runtime_checkable
class SharedEngine(Protocol):
    """An engine that several nodes may use."""

    async def identity(self, other_than: str | None = None) -> str:
        """Return the ID that it calls itself by; waits until it is known, and another one than that."""
        ...

    async def left_behind(self) -> Sequence[Any]:
        """Return what nodes have there, as `Leftover`; this one included."""
        ...

    async def remove_left(self, leftovers: Sequence[Any]) -> None:
        """Remove some of it."""
        ...

    async def is_same_as(self, other: Any) -> bool:
        """Whether another engine is the same one, reached in another way."""
        ...


class Way(Protocol):
    """All that leads to one host."""

    @property
    def link(self) -> HostLink:
        """The link; whoever made the way starts and closes it."""
        ...

    @property
    def questions(self) -> EngineQuestions:
        """Asks the engine what its machine has."""
        ...

    @property
    def address(self) -> str:
        """Where it leads, such as ``ssh://alice@gpu1``, also where a Docker context says so."""
        ...

    def engine(self, options: PluginOptions, devices: Path) -> Engine:
        """Make the engine that runs jobs there; ``devices`` stands for its ``/dev`` (`node.hosts.mirror`)."""
        ...


class Ways(Protocol):
    """Makes the ways to hosts."""

    def way(self, entry: HostEntry, node_id: str) -> Way:
        """Return a way that nobody has started; ``node_id`` will run jobs there.

        Raises
        ------
        BacalhauError
            The entry names what is not there (a Docker context).
        """
        ...

    async def examine(self, entry: HostEntry) -> list[HostStep]:
        """Try the way to a host step by step; ends with the first step that does not work."""
        ...

    async def trust(self, entry: HostEntry, fingerprint: str) -> None:
        """Accept the key that a host shows.

        Raises
        ------
        BacalhauError
            It shows another one.
        """
        ...

    def contexts(self) -> list[DockerContext]:
        """Return the Docker contexts of this machine; blocks."""
        ...

    def aliases(self) -> list[SshAlias]:
        """Return the hosts of this user's ssh configuration; blocks."""
        ...
