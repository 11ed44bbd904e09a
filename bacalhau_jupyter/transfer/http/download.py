"""Downloading over HTTP: streamed to disk, resumed when cut, never half there.

The contents are saved as sent (``Accept-Encoding: identity``), so that lengths and ranges mean the same bytes.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.threads.whole import or_undone
from bacalhau_jupyter.models.errors import BacalhauError, IOFailure, NetworkFailure, TimedOut
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.core.addresses import parse_http_url, shown_url
from bacalhau_jupyter.transfer.core.filenames import download_name
from bacalhau_jupyter.transfer.core.files import CHUNK, disk_full, free_bytes, io_failure
from bacalhau_jupyter.transfer.http.pace import Pace, TooSlow, paced
from bacalhau_jupyter.transfer.http.requests import content_length, open_session, request

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

    from bacalhau_jupyter.transfer.core.reach import Reach

__all__ = ["DownloadResult", "content_length", "download"]

READ_TIMEOUT_S = 300.0
MAX_RETRIES = 3

COMPONENT = "Download"
TOO_SLOW = "TooSlow"
"""Code of the error of a server that does not keep the pace."""
_MAX_ATTEMPTS = 100
_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-\d+/(\d+|\*)")
_UNSATISFIED = re.compile(r"bytes\s+\*/(\d+)")


@dataclass(frozen=True)
class DownloadResult:
    """A finished download.

    Attributes
    ----------
    filename
        The name the server or the URL suggests: a safe base name, not necessarily that of ``path``.
    etag
        As the server sent it; empty when it did not.
    """

    path: Path
    final_url: str
    filename: str
    bytes: int
    etag: str


class _Retry(Exception):
    """The attempt failed in a way that may pass; the text completes "GET url …"."""

    def __init__(
        self, reason: str, status: int = 0, *, timed_out: bool = False, too_slow: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.timed_out = timed_out
        self.too_slow = too_slow


@dataclass(kw_only=True)
class _Download:
    """One download and what its attempts have brought so far."""

    url: str
    path: Path
    file: BinaryIO
    session: ClientSession
    headers: Mapping[str, str]
    read_timeout_s: float
    progress: Progress
    max_bytes: int | None
    component: str
    reach: Reach | None = None
    pace: Pace | None = None
    received: int = 0
    furthest: int = 0
    total: int | None = None
    validator: str = ""
    etag: str = ""
    final_url: str = ""
    filename: str = ""
    buffer: bytearray = field(default_factory=bytearray)

    async def attempt(self) -> None:
        """Ask once and take what comes.

        Raises
        ------
        _Retry
            It did not come whole.
        BacalhauError
            Trying again would not help.
        """
        import aiohttp

        headers = {"Accept-Encoding": "identity", **self.headers}
        resuming = self.received > 0 and bool(self.validator)
        if resuming:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self.validator}
        try:
            async with request(self.session, "GET", self.url, headers, self.read_timeout_s, self.reach) as (
                answer,
                hops,
            ):
                await self._start(answer, resuming)
                self.final_url = str(answer.url)
                disposition = answer.headers.get("Content-Disposition", "")
                self.filename = download_name(self.final_url, disposition, redirected=hops > 0)
                await self._receive(answer)
        except TooSlow as error:
            raise _Retry(str(error), timed_out=True, too_slow=True) from error
        except TimeoutError as error:
            raise _Retry(f"sent nothing for {self.read_timeout_s:g} s", timed_out=True) from error
        except aiohttp.ClientPayloadError as error:
            raise self._cut() from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _Retry(f"failed: {str(error) or type(error).__name__}") from error
        finally:
            # What was read before a cut is kept, the next attempt goes on from there. (aiohttp itself drops what
            # it had buffered when the connection broke, some 100 kB.)
            await self._flush()
        if self.total is not None and self.received != self.total:
            raise self._cut()

    def _cut(self) -> _Retry:
        whole = "it had ended" if self.total is None else f"all of its {self.total} bytes had come"
        return _Retry(f"broke off before {whole}")

    async def _start(self, answer: ClientResponse, resuming: bool) -> None:
        """Decide from the head of an answer where its body belongs in the file."""
        status = answer.status
        if resuming and status == 416:
            whole = _UNSATISFIED.fullmatch(answer.headers.get("Content-Range", ""))
            if whole is None or int(whole[1]) != self.received:
                await self._rewind()
                raise _Retry("answered 416 for the rest of the file", status)
            self.total = self.received
            return
        if not 200 <= status < 300:
            raise _Retry(f"answered {status} {answer.reason or ''}".rstrip(), status)
        length = answer.content_length
        if status == 206:
            part = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
            if not resuming or part is None or int(part[1]) != self.received:
                await self._rewind()
                raise _Retry("answered with a part that was not requested", status)
            self.total = None if length is None else self.received + length
        else:
            await self._rewind()
            self.total = length
            self.etag = answer.headers.get("ETag", "")
            # A weak ETag may stand for bytes that differ, so it can't glue two halves together.
            strong = self.etag if not self.etag.startswith("W/") else ""
            self.validator = strong or answer.headers.get("Last-Modified", "")
        await self._check_room()

    async def _check_room(self) -> None:
        if self.total is None:
            return
        self._check_size(self.total)
        free = await asyncio.to_thread(free_bytes, self.path.parent)
        if free is not None and self.total - self.received > free:
            raise disk_full(self.path, self.component, needed=self.total - self.received)

    def _check_size(self, size: int) -> None:
        if self.max_bytes is not None and size > self.max_bytes:
            raise IOFailure(
                f"{shown_url(self.url)} is larger than the limit of {format_bytes(self.max_bytes)}",
                component=self.component,
            )

    async def _receive(self, answer: ClientResponse) -> None:
        if answer.status == 416:
            return
        async for chunk in paced(answer.content.iter_chunked(CHUNK), self.pace):
            self.buffer += chunk
            self.received += len(chunk)
            self._check_size(self.received)
            if len(self.buffer) >= CHUNK:
                await self._flush()

    async def _flush(self) -> None:
        if not self.buffer:
            return
        data, self.buffer = self.buffer, bytearray()
        try:
            await asyncio.to_thread(self._write, data)
        except OSError as error:
            raise io_failure(error, "write", self.path, self.component) from error
        self.furthest = max(self.furthest, self.received)
        self.progress(Reading("downloading", self.received, self.total))

    def _write(self, data: bytearray) -> None:
        self.file.write(data)
        self.file.flush()

    async def _rewind(self) -> None:
        self.received = 0
        self.buffer.clear()
        await asyncio.to_thread(self._truncate)

    def _truncate(self) -> None:
        self.file.seek(0)
        self.file.truncate()


async def download(
    url: str,
    path: Path,
    *,
    session: ClientSession | None = None,
    headers: Mapping[str, str] | None = None,
    max_retries: int = MAX_RETRIES,
    read_timeout_s: float = READ_TIMEOUT_S,
    progress: Progress = no_progress,
    max_bytes: int | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    component: str = COMPONENT,
    reach: Reach | None = None,
    pace: Pace | None = None,
) -> DownloadResult:
    """Download ``url`` to the file ``path`` (0600), which appears whole or not at all.

    Every status from 400 on, every failed and every cut connection is tried again, at most ``max_retries`` times
    in a row with waits of up to a second; bytes that were not seen before start the count anew. A server that
    offers ranges and a validator is asked only for the rest.

    Parameters
    ----------
    session
        Used and left open; without one, a new session is opened.
    headers
        Sent to the URL's own origin only, never on to another one.
    read_timeout_s
        Seconds without a single byte.
    progress
        Gets phase ``downloading``, bytes so far and in all (None when the server does not say).
    max_bytes
        Larger files are refused.
    sleep
        Waits between attempts.
    reach
        What the URL and its redirects may lead to; None: anywhere. A given session was opened with it.
    pace
        The least that has to come. What came too slowly counts as a failure though it is new. None: any.

    Raises
    ------
    BadRequest
        The URL is not an http or https URL with a path.
    Forbidden
        It leads out of reach.
    NetworkFailure, TimedOut
        It did not come; ``details["HTTPStatus"]`` is the last status, if there was one.
    IOFailure
        The disk is full or the file larger than ``max_bytes``. In all cases nothing is left behind.
    """
    url = parse_http_url(url, component)
    async with AsyncExitStack() as stack:
        if session is None:
            session = await stack.enter_async_context(open_session(reach))
        file, part = await _open_part(path, component)
        stack.push_async_callback(asyncio.to_thread, _discard, file, part)
        state = _Download(
            url=url,
            path=path,
            file=file,
            session=session,
            headers=headers or {},
            read_timeout_s=read_timeout_s,
            progress=progress,
            max_bytes=max_bytes,
            component=component,
            reach=reach,
            pace=pace,
        )
        await _try(state, max_retries, sleep)
        try:
            await asyncio.to_thread(_publish, file, part, path)
        except OSError as error:
            raise io_failure(error, "write", path, component) from error
        return DownloadResult(path, state.final_url, state.filename, state.received, state.etag)


async def _try(state: _Download, max_retries: int, sleep: Callable[[float], Awaitable[None]]) -> None:
    failures = 0
    delays = backoff(0.1, 1.0)
    for attempts in range(1, _MAX_ATTEMPTS + 1):
        before = state.furthest
        try:
            await state.attempt()
            return
        except _Retry as error:
            failures = 1 if state.furthest > before and not error.too_slow else failures + 1
            if failures > max_retries or attempts == _MAX_ATTEMPTS:
                raise _gave_up(state, error, attempts) from error
        await sleep(next(delays))


def _gave_up(state: _Download, error: _Retry, attempts: int) -> BacalhauError:
    kind = TimedOut if error.timed_out else NetworkFailure
    times = "" if attempts == 1 else f" (tried {attempts} times)"
    hints = {
        401: "the server requires a login, and a download has none",
        403: "the server requires a login, or the link has expired",
        404: "check the URL's spelling",
    }
    return kind(
        f"GET {shown_url(state.url)} {error.reason}{times}",
        hint=hints.get(error.status, ""),
        code=TOO_SLOW if error.too_slow else None,
        component=state.component,
        retryable=True,
        details={"HTTPStatus": str(error.status)} if error.status else None,
    )


async def _open_part(path: Path, component: str) -> tuple[BinaryIO, Path]:
    try:
        return await or_undone(lambda made: _discard(*made), _make_part, path)
    except OSError as error:
        raise io_failure(error, "write", path, component) from error


def _make_part(path: Path) -> tuple[BinaryIO, Path]:
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    return os.fdopen(descriptor, "wb"), Path(name)


def _publish(file: BinaryIO, part: Path, path: Path) -> None:
    file.close()
    part.replace(path)


def _discard(file: BinaryIO, part: Path) -> None:
    part.unlink(missing_ok=True)
    # After a full disk, closing would try to write once more.
    with suppress(OSError):
        file.close()
