"""Host names, looked up in separate threads.

A name server that does not answer holds a thread for half a minute. In the event loop's own few threads, a handful
of such names would hold up everything else that goes to a thread: disks, archives, other jobs.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

T = TypeVar("T")

LOOKUPS = 8
"""Names looked up at a time."""


class Names:
    """The two look-ups of an event loop, elsewhere.

    Parameters
    ----------
    lookup
        Blocking; by default the system's.
    """

    def __init__(self, lookup: Callable[..., list[Any]] | None = None) -> None:
        self._lookup = lookup or socket.getaddrinfo

    async def getaddrinfo(self, host: str, port: int | str | None, **options: Any) -> list[Any]:
        """Do what `socket.getaddrinfo` does.

        Raises
        ------
        OSError
            The host does not exist, or no server answers.
        """
        return await _in_thread(functools.partial(self._lookup, host, port, **options))

    async def getnameinfo(self, address: Any, flags: int = 0) -> Any:
        """Do what `socket.getnameinfo` does."""
        return await _in_thread(functools.partial(socket.getnameinfo, address, flags))


def resolver() -> AbstractResolver:
    """Return what an aiohttp connector looks names up with."""
    from aiohttp.resolver import ThreadedResolver

    # These two methods are all that it wants of a loop.
    return ThreadedResolver(cast("asyncio.AbstractEventLoop", Names()))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LOOKUPS, thread_name_prefix="names")


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_pool(), work)
