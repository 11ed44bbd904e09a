"""Plug-ins that work on another machine: they are there while the way to it is (`plugins.link`)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.plugins.contract import Availability
from bacalhau_jupyter.plugins.link import HostLink, HostStatus, LinkedEngine


def link_of(plugin: object) -> HostLink | None:
    """Return the way to the machine that a plug-in works on; None where it is this one."""
    return plugin.link if isinstance(plugin, LinkedEngine) else None


async def watch_link(
    link: HostLink,
    ask: Callable[[], Awaitable[Availability]],
    note: Callable[[Availability], None],
    retry_s: tuple[float, float],
) -> None:
    """Keep true what is said of a plug-in: without a way to it, it is off at once; does not return.

    Parameters
    ----------
    ask
        Asks the plug-in whether it works; needs the way.
    note
        Gets each answer, also one that equals the last.
    retry_s
        First and longest delay, in seconds, before a plug-in that does not work there is asked again.
    """
    news = asyncio.Event()

    def heard(status: HostStatus) -> None:
        news.set()
        if not status.is_ready:
            note(_off(link, status))

    unwatch = link.watch(heard)
    try:
        while True:
            news.clear()
            delays = backoff(*retry_s)
            works = False
            while link.status.is_ready and not works:
                availability = await ask()
                if link.status.is_ready:
                    note(availability)
                    works = availability.available
                if not works:
                    await _heard_within(news, next(delays))
            if not link.status.is_ready:
                note(_off(link, link.status))
            await news.wait()
    finally:
        unwatch()


async def _heard_within(news: asyncio.Event, limit_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await news.wait()
    news.clear()


def _off(link: HostLink, status: HostStatus) -> Availability:
    return Availability(False, problem=_problem(link, status), may_change=True)


def _problem(link: HostLink, status: HostStatus) -> str:
    return status.problem or f"host {link.name} is being connected"
