"""The certificate that is served now: looked at every few seconds, and replaced without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import ssl
from typing import Protocol

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.tls.pairs import Loaded, Pair, load

log = logging.getLogger(__name__)

LOOK_S = 10.0
"""Seconds between two looks at the files."""


class Source(Protocol):
    """Knows where the certificate lies."""

    def pair(self) -> Pair | None:
        """Return the files, renewed first where that is this source's affair; None where there is none yet. Blocks.

        Raises
        ------
        BacalhauError
            There can be none.
        """
        ...


class ServedCertificates:
    """Hands out the newest certificate that can be loaded (`front.Certificates`).

    Parameters
    ----------
    source
        Where it lies.
    clock
        Tells whether it has expired.
    """

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._loaded: Loaded | None = None
        self._mark: object = None
        self._broken: object = None
        self._is_reported = False
        self._expired: Loaded | None = None
        self._asked = asyncio.Event()

    def context(self, server_name: str, peer: str) -> ssl.SSLContext | None:
        """Return what a new connection gets; connections that are open keep theirs."""
        return None if self._loaded is None else self._loaded.context

    def challenge(self, server_name: str) -> ssl.SSLContext | None:
        """Return None: no authority checks names by these certificates."""
        return None

    async def start(self) -> None:
        """Load the certificate.

        Raises
        ------
        BacalhauError
            It can't be served; the node must not start.
        """
        pair = await asyncio.to_thread(self._source.pair)
        if pair is not None:
            mark = pair.mark()
            self._take(await asyncio.to_thread(load, pair), mark)

    def reload(self) -> None:
        """Look at the files now."""
        self._asked.set()

    async def watch(self) -> None:
        """Take up files that have changed, for as long as this runs."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            is_asked = self._asked.is_set()
            self._asked.clear()
            await self.look(is_asked=is_asked)

    async def look(self, *, is_asked: bool = False) -> None:
        """Take up files that have changed; those that can't be served change nothing, and are reported once.

        Parameters
        ----------
        is_asked
            Whether a person wants to know now. Else a pair is reported only once it has stayed as it is for a
            while: its two files are not replaced at one instant.
        """
        mark: object = None
        try:
            pair = await asyncio.to_thread(self._source.pair)
            if pair is not None and (mark := pair.mark()) != self._mark:
                self._take(await asyncio.to_thread(load, pair), mark)
                log.info("a new certificate is served, valid until %s", _day(self._loaded))
            self._broken = None
        except BacalhauError as error:
            self._report(error, mark, is_asked=is_asked)
        self._warn_of_expiry()

    def _take(self, loaded: Loaded, mark: object) -> None:
        # Files that were replaced while they were read have another mark by now, and are looked at again.
        self._loaded, self._mark = loaded, mark
        self._warn_of_expiry()

    def _report(self, error: BacalhauError, mark: object, *, is_asked: bool) -> None:
        what = (mark, error.message)
        if what != self._broken:
            self._broken, self._is_reported = what, False
            if not is_asked:
                return
        if not self._is_reported:
            self._is_reported = True
            log.warning("the previous certificate is still served: %s", error.message)

    def _warn_of_expiry(self) -> None:
        loaded, now = self._loaded, self._clock.now_ns()
        if loaded is None or loaded is self._expired:
            return
        if now >= loaded.ends_ns:
            log.warning("the certificate has expired on %s: clients will refuse it", _day(loaded))
        elif now < loaded.starts_ns:
            log.warning("the certificate is not valid yet: clients will refuse it, or this clock is wrong")
        else:
            return
        self._expired = loaded


def _day(loaded: Loaded | None) -> str:
    ends_ns = loaded.ends_ns if loaded is not None else 0
    return datetime.datetime.fromtimestamp(ends_ns // SECOND, datetime.UTC).strftime("%Y-%m-%d")
