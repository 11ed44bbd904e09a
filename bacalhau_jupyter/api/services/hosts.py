"""Docker hosts elsewhere that run jobs of this node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from bacalhau_jupyter.models.records.host_orders import (
    AddHost,
    CleanHost,
    HostCleaning,
    HostProgress,
    HostTest,
    PushImage,
    RemoveHost,
)
from bacalhau_jupyter.models.records.hosts import HostRecord, Hosts


class HostService(Protocol):
    """Docker hosts elsewhere that run jobs of this node. Errors are BacalhauErrors, and then nothing has changed."""

    async def list(self) -> Hosts:
        """Return all hosts, without a request to any of them."""
        ...

    def show(self, name: str) -> HostRecord:
        """Return one host."""
        ...

    async def add(self, order: AddHost) -> HostRecord:
        """Let a host run jobs, now and after each restart."""
        ...

    async def try_out(self, order: AddHost) -> HostTest:
        """Try the way to a host that is not added yet, step by step."""
        ...

    async def test(self, name: str) -> HostTest:
        """Try the way to a host step by step."""
        ...

    async def pause(self, name: str, *, paused: bool) -> HostRecord:
        """Let a host take no new jobs, or take them again."""
        ...

    def retry(self, name: str) -> HostRecord:
        """Connect now to a host whose next attempt is due later."""
        ...

    async def remove(self, name: str, order: RemoveHost) -> HostRecord:
        """Let a host run no more jobs."""
        ...

    async def push(self, name: str, order: PushImage) -> HostRecord:
        """Copy an image of this machine's Docker Engine to a host."""
        ...

    async def stop_push(self, name: str) -> HostRecord:
        """Stop the copying of an image to a host; raises Conflict where none is under way."""
        ...

    def progress(self, name: str) -> AsyncIterator[HostProgress]:
        """Yield how far the copying to a host is, now and at each change, without end. Raises NotFound at once."""
        ...

    async def clean(self, name: str, order: CleanHost) -> HostCleaning:
        """Remove what the named nodes left on a host; return what nodes have there, and what was removed."""
        ...
