"""Uploading a file to a signed link, without any other credential."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.threads.files import opened
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, NotFound, error_from_envelope
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.core.addresses import parse_http_url, proxy_for
from bacalhau_jupyter.transfer.core.files import CHUNK, io_failure
from bacalhau_jupyter.transfer.http.requests import open_session
from bacalhau_jupyter.transfer.s3.requests.wire import error_of

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from bacalhau_jupyter.transfer.core.reach import Reach

RETRIES = 5
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
STALL_TIMEOUT_S = 120.0

_MAX_ANSWER = 64 * 1024
_PASSING = frozenset({408, 425, 429})


async def upload_file(
    path: Path,
    link: Callable[[], Awaitable[str]],
    *,
    component: str,
    progress: Progress = no_progress,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    reach: Reach | None = None,
) -> None:
    """PUT a file to a link, again and again where that may help.

    Parameters
    ----------
    link
        Asked before each try, so that a link need only outlive one upload.
    progress
        Gets phase ``publishing`` and the bytes of this try.
    sleep
        Waits between tries: 1, 2, 4, 8 and 16 seconds.
    stall_timeout_s
        Seconds without a byte taken, or without the answer, before a try is given up.
    reach
        What a link may lead to; None: anywhere.

    Raises
    ------
    BacalhauError
        The upload failed for good; the link is in no message.
    """
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
    except OSError as error:
        raise io_failure(error, "read", path, component) from error
    delays = [0.0, *islice(backoff(FIRST_DELAY_S, LONGEST_DELAY_S), RETRIES)]
    async with open_session(reach) as session, open_session() as proxied:
        for number, delay_s in enumerate(delays):
            if delay_s:
                await sleep(delay_s)
            try:
                url = parse_http_url(await link(), component)
                proxy = await _way(url, reach, component)
                asking = session if proxy is None else proxied
                await _Upload(asking, path, size, component, progress, stall_timeout_s).send(url, proxy)
                return
            except BacalhauError as error:
                if not error.retryable or number == RETRIES:
                    raise


async def _way(url: str, reach: Reach | None, component: str) -> str | None:
    """Return the proxy for a link; raises Forbidden where the link leads to what is out of reach."""
    from yarl import URL

    target = URL(url, encoded=True)
    proxy = proxy_for(target)
    if reach is not None:
        reach.check_link(url, component)
        if proxy is not None:
            # The proxy looks the name up, and may itself be on this machine.
            await reach.look(target.raw_host or "", target.port or 0, component)
    return proxy


class _Upload:
    """One try."""

    def __init__(
        self,
        session: ClientSession,
        path: Path,
        size: int,
        component: str,
        progress: Progress,
        stall_timeout_s: float,
    ) -> None:
        self._session = session
        self._path = path
        self._size = size
        self._component = component
        self._progress = progress
        self._stall_timeout_s = stall_timeout_s

    async def send(self, url: str, proxy: str | None) -> None:
        import aiohttp
        from yarl import URL

        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(self._size)}
        # Another spelling of the same path would not match the signature.
        target = URL(url, encoded=True)
        try:
            async with (
                asyncio.timeout(self._stall_timeout_s) as deadline,
                self._session.put(
                    target,
                    data=self._body(deadline),
                    headers=headers,
                    allow_redirects=False,
                    proxy=proxy,
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as answer,
            ):
                if not 200 <= answer.status < 300:
                    raise self._refused(answer.status, await answer.content.read(_MAX_ANSWER))
        except TimeoutError as error:
            reason = f"{target.host} neither accepted nor sent data for {self._stall_timeout_s:g} s"
            raise self._failed(reason) from error
        except aiohttp.ClientConnectorError as error:
            raise self._failed(f"{target.host} can't be reached") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self._failed(f"the connection to {target.host} broke") from error
        except OSError as error:
            raise io_failure(error, "read", self._path, self._component) from error

    async def _body(self, deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        now = asyncio.get_running_loop().time
        sent = 0
        file = await opened(self._path)
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
                deadline.reschedule(now() + self._stall_timeout_s)
                sent += len(chunk)
                self._progress(Reading("publishing", sent, self._size))
        finally:
            file.close()

    def _failed(self, reason: str) -> BacalhauError:
        return NetworkFailure(
            f"could not upload the results: {reason}", component=self._component, retryable=True
        )

    def _refused(self, status: int, body: bytes) -> BacalhauError:
        if (own := _told(status, body)) is not None:
            return own
        code, _ = error_of(body)
        details = {"Service": "S3", "Operation": "PutObject", "ErrorCode": code or str(status)}
        retryable = status >= 500 or status in _PASSING or code == "RequestTimeout"
        kind = NotFound if code == "NoSuchBucket" else NetworkFailure
        return kind(
            f"could not upload the results: the server of the managed bucket said {code or status}",
            hint="check the orchestrator's bucket, its rights (s3:PutObject) and the life time of its links",
            component=self._component,
            details=details,
            retryable=retryable,
        )


def _told(status: int, body: bytes) -> BacalhauError | None:
    """Return what an orchestrator that takes results itself said; None where a bucket's server answered."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    if not isinstance(answer, dict) or "Message" not in answer:
        return None
    said = f"the orchestrator did not take the results: {answer['Message']}"
    error = error_from_envelope({**answer, "Message": said}, status)
    error.retryable = status >= 500 or status in _PASSING
    return error
