"""What takes long on the connected node, and ends there when a person interrupts it here."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from bacalhau_jupyter.client.results.progress import run_shown
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.progress import Progress

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.connection.api import AsyncAPI

T = TypeVar("T")


def run_stoppable(
    connected: Client,
    work: Callable[[AsyncAPI, Progress], Coroutine[Any, Any, T]],
    stop: Callable[[AsyncAPI], Awaitable[object]],
) -> T:
    """Ask a node for what takes long, and show how far it is; a person who interrupts it ends it there, too.

    Parameters
    ----------
    stop
        Ends on the node what ``work`` began there. Where the node does not do it, nothing more is said.
    """

    async def done(progress: Progress) -> T:
        return await connected.acall(lambda api: work(api, progress))

    try:
        return run_shown(connected.portal, done)
    except KeyboardInterrupt:
        with contextlib.suppress(BacalhauError):
            connected.call(stop)
        raise
