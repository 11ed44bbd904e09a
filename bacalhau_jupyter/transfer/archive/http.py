"""The bytes of an archive behind a signed link, read with Range requests."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.threads.whole import or_undone
from bacalhau_jupyter.models.errors import (
    BacalhauError,
    IOFailure,
    NetworkFailure,
    NotFound,
    error_from_envelope,
)
from bacalhau_jupyter.transfer.archive.ranges import TAIL, read_file
from bacalhau_jupyter.transfer.core.addresses import shown_url
from bacalhau_jupyter.transfer.core.files import CHUNK, io_failure
from bacalhau_jupyter.transfer.core.resolver import resolver
from bacalhau_jupyter.transfer.http.requests import request

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

    from bacalhau_jupyter.transfer.core.reach import Reach

READ_TIMEOUT_S = 300.0
MAX_RETRIES = 3

COMPONENT = "Results"
_MAX_ERROR = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d+)-(\d+)|\*)/(\d+)")
_REFUSED = frozenset({400, 401, 403, 404, 410})


@dataclass(frozen=True)
class Link:
    """The URL to download from at the moment, with the headers that it needs."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ssl: ssl.SSLContext | bool = True


class _Again(Exception):
    """An attempt failed in a way that may pass; the text completes "GET url …"."""


class HttpRanges:
    """A file behind a signed link, read with Range requests on one event loop; close it.

    A cut connection is taken up where it broke. A link that is refused is asked for again, once. A server that
    does not know ranges is downloaded once, to a file without a name. That the file stays the same is checked by
    its length and ETag.

    Parameters
    ----------
    link
        Gives a link that is valid now.
    read_timeout_s
        Seconds without a single byte.
    sleep
        Waits between attempts.
    reach
        What the link may lead to, where somebody else chose it; None: anywhere.
    keeps_whole
        Whether to download a file of a server that does not know ranges; else it is refused.
    """

    def __init__(
        self,
        link: Callable[[], Awaitable[Link]],
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        reach: Reach | None = None,
        keeps_whole: bool = True,
    ) -> None:
        self._ask = link
        self._reach = reach
        self._keeps_whole = keeps_whole
        self._read_timeout_s = read_timeout_s
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._link: Link | None = None
        self._session: ClientSession | None = None
        self._size: int | None = None
        self._tail = b""
        self._etag = ""
        self._whole: BinaryIO | None = None
        self._active = 0

    async def size(self) -> int:
        """Return its length in bytes; the last `TAIL` bytes come along."""
        async with self._lock:
            if self._size is None:
                await self._trying(self._probe)
            assert self._size is not None
            return self._size

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part.

        Raises
        ------
        NotFound
            It is not there any more.
        NetworkFailure
            It did not come, though tried several times.
        IOFailure
            It is another file by now.
        """
        stop = min(stop, await self.size())
        tail_start = (self._size or 0) - len(self._tail)
        if self._tail and start >= tail_start:
            yield self._tail[start - tail_start : stop - tail_start]
            return
        if self._whole is not None:
            async for chunk in read_file(self._whole, start, stop):
                yield chunk
            return
        failures, delays = 0, backoff(0.1, 1.0)
        while start < stop:
            before = start
            try:
                async with self._get(f"bytes={start}-{stop - 1}") as answer:
                    self._check_part(answer, start)
                    async for chunk in answer.content.iter_chunked(CHUNK):
                        part = chunk[: stop - start]
                        start += len(part)
                        if part:
                            yield part
                if start < stop:
                    raise _Again("broke off")
            except _Again as error:
                failures = 1 if start > before else failures + 1
                if failures > MAX_RETRIES:
                    raise self._gave_up(error) from error
                await self._sleep(next(delays))

    async def rest(self) -> None:
        """Close the connections unless they are in use; the next request opens them again."""
        if self._active == 0 and self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def close(self) -> None:
        """Close the connections and forget what was downloaded."""
        session, self._session = self._session, None
        whole, self._whole = self._whole, None
        if whole is not None:
            self._size = None
            await asyncio.to_thread(whole.close)
        if session is not None:
            await session.close()

    # ---- requests

    @asynccontextmanager
    async def _get(self, byte_range: str) -> AsyncIterator[ClientResponse]:
        import aiohttp

        headers = {"Accept-Encoding": "identity", "Range": byte_range}
        self._active += 1
        try:
            for renewed in (False, True):
                link = await self._current(renew=renewed)
                session = self._open(link)
                sent = {**link.headers, **headers}
                asking = request(session, "GET", link.url, sent, self._read_timeout_s, self._reach)
                async with asking as (answer, _):
                    if answer.status in _REFUSED and not renewed:
                        continue
                    await self._check_status(answer)
                    yield answer
                    return
        except TimeoutError as error:
            raise _Again(f"sent nothing for {self._read_timeout_s:g} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                # A node that was started again has another port, and its links another address.
                self._link = None
            raise _Again(f"broke off: {str(error) or type(error).__name__}") from error
        finally:
            self._active -= 1

    async def _current(self, *, renew: bool) -> Link:
        if self._link is None or renew:
            self._link = await self._ask()
        return self._link

    def _open(self, link: Link) -> ClientSession:
        import aiohttp

        if self._session is None or self._session.closed:
            names = resolver() if self._reach is None else self._reach.resolver(COMPONENT)
            connector = aiohttp.TCPConnector(resolver=names, ssl=link.ssl)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._session

    async def _check_status(self, answer: ClientResponse) -> None:
        status = answer.status
        if status in (200, 206, 416):
            return
        if status >= 500 or status in (408, 429):
            raise _Again(f"answered {status}")
        server_error = await _stated_error(answer)
        if server_error is not None:
            # A node of ours knows better what became of the result.
            raise server_error
        if status in (404, 410):
            raise NotFound(
                f"the result is not there any more: {self._name} answered {status}",
                hint="results are kept for a limited time; run the job again",
            )
        raise NetworkFailure(
            f"the result can't be fetched: {self._name} answered {status} {answer.reason or ''}".rstrip(),
        )

    @property
    def _name(self) -> str:
        return shown_url(self._link.url) if self._link is not None else "the cluster"

    def _gave_up(self, error: Exception) -> BacalhauError:
        return NetworkFailure(
            f"the result can't be fetched: GET {self._name} {error}",
            hint="check that the address can be reached from here, then try again",
            retryable=True,
        )

    async def _trying(self, work: Callable[[], Awaitable[None]]) -> None:
        delays = backoff(0.1, 1.0)
        for attempt in range(MAX_RETRIES + 1):
            try:
                await work()
                return
            except _Again as error:
                if attempt == MAX_RETRIES:
                    raise self._gave_up(error) from error
            await self._sleep(next(delays))

    async def _probe(self) -> None:
        async with self._get(f"bytes=-{TAIL}") as answer:
            if answer.status == 200:
                if not self._keeps_whole:
                    raise NetworkFailure(
                        f"{self._name} gives out results as a whole only, no single files",
                        hint="`job get` fetches all of it",
                    )
                await self._take_whole(answer)
                return
            part = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
            if part is None:
                raise NetworkFailure(f"{self._name} does not send the length of the result")
            self._etag = answer.headers.get("ETag", "")
            start, size, tail = int(part[1] or part[3]), int(part[3]), bytearray()
            if size - start > TAIL:
                raise NetworkFailure(f"{self._name} sent more bytes than requested")
            while len(tail) < size - start and (chunk := await answer.content.read(size - start - len(tail))):
                tail += chunk
            if start + len(tail) != size:
                raise _Again("broke off")
            self._tail, self._size = bytes(tail), size

    def _check_part(self, answer: ClientResponse, start: int) -> None:
        part = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
        etag = answer.headers.get("ETag", "")
        if part is not None and (int(part[3]) != self._size or (self._etag and etag != self._etag)):
            raise IOFailure(
                f"the result at {self._name} changed while it was read",
                hint="look at the job's results again",
            )
        if answer.status != 206 or part is None or part[1] is None or int(part[1]) != start:
            raise _Again("answered with another range than requested")

    async def _take_whole(self, answer: ClientResponse) -> None:
        """Keep everything: this server knows no ranges."""
        file: BinaryIO = await or_undone(BinaryIO.close, tempfile.TemporaryFile)
        size = 0
        try:
            async for chunk in answer.content.iter_chunked(CHUNK):
                await _write(file, chunk)
                size += len(chunk)
            if answer.content_length is not None and size != answer.content_length:
                raise _Again("broke off")
        except BaseException:
            file.close()
            raise
        self._whole, self._size = file, size


async def _write(file: BinaryIO, data: bytes) -> None:
    def work() -> None:
        file.write(data)
        file.flush()

    try:
        await asyncio.to_thread(work)
    except OSError as error:
        raise io_failure(error, "write to", Path(tempfile.gettempdir()), COMPONENT) from error


async def _stated_error(answer: ClientResponse) -> BacalhauError | None:
    """Return the error in an answer of a Bacalhau API; None if it is not one."""
    try:
        body = json.loads(await answer.content.read(_MAX_ERROR))
    except ValueError:
        return None
    has_message = isinstance(body, dict) and isinstance(body.get("Message"), str)
    return error_from_envelope(body, answer.status) if has_message else None
