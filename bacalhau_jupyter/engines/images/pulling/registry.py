"""Asking registries (OCI distribution specification): manifests, configurations, layers.

A job names the image, so nothing is asked that jobs may not reach (`transfer.core.reach`), each hop of a redirect
included; a registry of this machine has to be allowed by the node's owner. Without TLS, registries of this machine are
asked only, as Docker does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.engines.images.platforms import Platform
from bacalhau_jupyter.engines.images.pulling.answers import not_reached, not_there, too_slow
from bacalhau_jupyter.engines.images.pulling.challenges import read_challenges
from bacalhau_jupyter.engines.images.pulling.manifests import (
    INDEXES,
    LARGEST,
    MANIFESTS,
    Described,
    Descriptor,
    Manifest,
    check_platform,
    checked,
    digest_of,
    read_config,
    read_manifest,
)
from bacalhau_jupyter.engines.images.pulling.tokens import Tokens
from bacalhau_jupyter.engines.images.recent import Recent
from bacalhau_jupyter.engines.images.references import Reference
from bacalhau_jupyter.engines.images.unpacking.orders import refused
from bacalhau_jupyter.engines.registries.credentials import HUB, Credentials
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.nearby import is_near
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, IOFailure, NetworkFailure, TimedOut
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.http.download import TOO_SLOW, download
from bacalhau_jupyter.transfer.http.pace import Pace, TooSlow, paced
from bacalhau_jupyter.transfer.http.requests import open_session, request

if TYPE_CHECKING:
    from aiohttp import ClientConnectorSSLError, ClientResponse, ClientSession

TIMEOUT_S = 60.0
"""Seconds that a registry may be silent."""
LEAST_RATE = 4_000
"""Bytes a second that a registry has to send of a layer or manifest, on the average of each span of `TIMEOUT_S`. Slow
lines (128 kbit/s for three layers at a time) bring more."""
_HUB_HOST = "registry-1.docker.io"
_TRIES = 3
_ACCEPTED = ", ".join(MANIFESTS + INDEXES)
_MOST_INDEXES = 3
_REMEMBERED = 1000


class Registry:
    """All registries, as one client; it belongs to one event loop.

    Parameters
    ----------
    reach
        What may be connected to.
    timeout_s
        Seconds that a registry may be silent.
    """

    def __init__(
        self, credentials: Credentials, reach: Reach, own: Platform, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._reach = reach
        self._own = own
        self._timeout_s = timeout_s
        self._pace = Pace(LEAST_RATE, timeout_s)
        self._tokens = Tokens(credentials, reach, timeout_s, self._pace)
        self._schemes: Recent[str, str] = Recent(_REMEMBERED)
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    async def find(self, reference: Reference) -> tuple[Manifest, Described, bytes]:
        """Return the manifest for this machine, and the configuration: read, and as it came.

        Raises
        ------
        BacalhauError
            There is none, it is for other machines, the registry lies, can't be reached, or may not be.
        """
        asked = reference
        for _ in range(_MOST_INDEXES):
            data, media_type = await self._manifest(asked)
            if asked.digest and digest_of(data) != asked.digest:
                raise refused(f"its registry gave another manifest than {asked.digest[:19]}…")
            manifest = read_manifest(data, media_type, self._own, reference.shown)
            if isinstance(manifest, Manifest):
                break
            asked = reference.pinned(manifest.digest)
        else:
            raise refused("its index leads to indexes again and again")
        if manifest.config.size > LARGEST:
            raise refused(f"its configuration has {manifest.config.size:,} bytes; {LARGEST:,} are the most")
        path = f"blobs/{manifest.config.digest}"
        raw, _ = await self._small(reference, path, "*/*")
        described = read_config(checked(raw, manifest.config, "its configuration"))
        if len(described.diff_ids) != len(manifest.layers):
            raise refused("its manifest and its configuration disagree about its layers")
        check_platform(described.config, self._own, reference.shown)
        return manifest, described, raw

    async def layer(
        self, reference: Reference, layer: Descriptor, path: Path, progress: Progress = no_progress
    ) -> None:
        """Download a layer to a file; its digest is not compared yet.

        Raises
        ------
        BacalhauError
            It did not come, is larger than announced, or the disk is full.
        """
        for attempt in range(2):
            base = await self._reached(reference)
            try:
                await download(
                    f"{base}/blobs/{layer.digest}",
                    path,
                    session=self._opened(),
                    headers=self._tokens.header(reference),
                    read_timeout_s=self._timeout_s,
                    progress=progress,
                    max_bytes=layer.size,
                    component="Images",
                    reach=self._reach,
                    pace=self._pace,
                )
                return
            except (NetworkFailure, TimedOut) as error:
                status = int(error.details.get("HTTPStatus") or 0)
                if status == 401 and not attempt:
                    # The token's time is over: a new one comes with the manifest.
                    await self._manifest(reference)
                    continue
                if 400 <= status < 500:
                    raise not_there(
                        reference, status, logged_in=await self._tokens.has_login(reference)
                    ) from error
                if error.code == TOO_SLOW:
                    raise too_slow(reference, error.message) from error
                raise not_reached(reference, error.message) from error
            except IOFailure as error:
                if "larger than the limit" in error.message:
                    raise refused(
                        f"a layer has more bytes than the {layer.size:,} that were announced"
                    ) from error
                raise

    async def _manifest(self, reference: Reference) -> tuple[bytes, str]:
        return await self._small(reference, f"manifests/{reference.digest or reference.tag}", _ACCEPTED)

    async def _small(self, reference: Reference, path: str, accepted: str) -> tuple[bytes, str]:
        import aiohttp

        delays = backoff(0.2, 2.0)
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._ask(reference, path, accepted)
            except TooSlow as error:
                raise too_slow(reference, f"it {error}") from error
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                # What listens there next may speak TLS, or no longer.
                self._schemes.forget(_host(reference))
                silent = f"it sent nothing for {self._timeout_s:g} s"
                reason = silent if isinstance(error, TimeoutError) else _plainly(error)
                if attempt == _TRIES or isinstance(error, TimeoutError):
                    raise not_reached(reference, reason) from error
            except EngineError as error:
                if not error.retryable or attempt == _TRIES:
                    raise
            except NetworkFailure as error:
                raise not_reached(reference, error.message) from error
            await asyncio.sleep(next(delays))
        raise AssertionError("unreachable")

    async def _ask(self, reference: Reference, path: str, accepted: str) -> tuple[bytes, str]:
        base = await self._base(reference)
        for attempt in range(2):
            async with self._get(
                f"{base}/{path}", {"Accept": accepted, **self._tokens.header(reference)}
            ) as answer:
                if answer.status == 200:
                    data = await _bounded(answer, self._pace)
                    return data, answer.headers.get("Content-Type", "")
                status = answer.status
                challenges = read_challenges(answer.headers.getall("WWW-Authenticate", []))
            is_plain = base.startswith("http:")
            if status != 401 or attempt:
                break
            if not await self._tokens.renew(self._opened(), reference, challenges, is_plain=is_plain):
                break
        raise not_there(reference, status, logged_in=await self._tokens.has_login(reference))

    async def _reached(self, reference: Reference) -> str:
        import aiohttp

        try:
            return await self._base(reference)
        except TooSlow as error:
            raise too_slow(reference, f"it {error}") from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise not_reached(reference, _plainly(error)) from error

    async def _base(self, reference: Reference) -> str:
        host = _host(reference)
        scheme = self._schemes.get(host) or await self._scheme(host)
        return f"{scheme}://{host}/v2/{reference.repository}"

    async def _scheme(self, host: str) -> str:
        """Find out whether a registry of this machine speaks TLS; all others have to.

        Raises
        ------
        ClientError, TimeoutError, ConnectionError
            Nothing answers, or not as it should: that says nothing of what speaks there next, perhaps with TLS.
        """
        import aiohttp

        scheme = "https"
        if is_near(f"//{host}"):
            try:
                async with self._get(f"https://{host}/v2/", {}):
                    pass
            except aiohttp.ClientConnectorSSLError as error:
                if _speaks_tls(error):
                    raise
                scheme = "http"
        self._schemes.keep(host, scheme)
        return scheme

    @asynccontextmanager
    async def _get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[ClientResponse]:
        sent = {"Accept-Encoding": "identity", **headers}
        async with request(self._opened(), "GET", url, sent, self._timeout_s, self._reach) as (answer, _):
            yield answer

    def _opened(self) -> ClientSession:
        if self._session is None:
            self._session = open_session(self._reach)
        return self._session


async def _bounded(answer: ClientResponse, pace: Pace) -> bytes:
    data = bytearray()
    async for chunk in paced(answer.content.iter_chunked(1 << 16), pace):
        data += chunk
        if len(data) > LARGEST:
            raise refused(f"its registry sends a manifest of more than {LARGEST:,} bytes")
    return bytes(data)


def _speaks_tls(error: ClientConnectorSSLError) -> bool:
    """Whether a handshake ended with an alert, which only a peer with TLS sends."""
    return "ALERT" in str(getattr(error.os_error, "reason", ""))


def _host(reference: Reference) -> str:
    return _HUB_HOST if reference.registry == HUB else reference.registry


def _plainly(error: BaseException) -> str:
    if isinstance(error, BacalhauError):
        return error.message
    return str(error) or type(error).__name__
