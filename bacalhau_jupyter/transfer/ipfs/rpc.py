"""Commands to an IPFS node (Kubo) over HTTP: sent, streamed, with every wait bounded and every error in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.transfer.core.addresses import proxy_for
from bacalhau_jupyter.transfer.core.files import CHUNK
from bacalhau_jupyter.transfer.core.resolver import resolver
from bacalhau_jupyter.transfer.ipfs.errors import READ_TIMEOUT_S, node_error, unreachable, waited_too_long
from bacalhau_jupyter.transfer.ipfs.multiaddr import rpc_url
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, HttpVersion

CONNECT_TIMEOUT_S = 30.0

_LONGEST_ANSWER = 16 << 20


class IpfsRpc:
    """The connection to a node's RPC API; use it in an `async with` block.

    Parameters
    ----------
    endpoint
        Multiaddress of the RPC API.
    read_timeout_s
        Seconds without a byte before a node counts as silent.

    Raises
    ------
    ConfigurationError
        The endpoint is not a valid address.
    """

    def __init__(self, endpoint: str, component: str, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self.endpoint = endpoint.strip()
        self.component = component
        self.read_timeout_s = read_timeout_s
        self._base = rpc_url(endpoint, component)
        self._session: ClientSession | None = None
        self._plain: ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        def session(version: HttpVersion) -> ClientSession:
            connector = aiohttp.TCPConnector(resolver=resolver())
            return aiohttp.ClientSession(
                connector=connector, version=version, auto_decompress=False, read_bufsize=CHUNK
            )

        self._session = session(aiohttp.HttpVersion11)
        # In HTTP/1.1 a node sends contents in chunks of 4 kB, each to be parsed; in 1.0 as they are. That nothing is
        # missing is seen by sizes.
        self._plain = session(aiohttp.HttpVersion10)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._session, self._plain):
            if session is not None:
                await session.close()
        self._session = self._plain = None

    async def ask(
        self, command: str, params: Mapping[str, str], *, timeout_s: float, path: IpfsPath | None = None
    ) -> dict[str, Any]:
        """Return the one JSON object that a command answers."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self.post(command, list(params.items()), path=path) as answer,
            ):
                body = await answer.content.read(_LONGEST_ANSWER)
                while not answer.content.at_eof() and len(body) < _LONGEST_ANSWER:
                    body += await answer.content.read(_LONGEST_ANSWER)
        except TimeoutError as error:
            raise waited_too_long(self.endpoint, path, timeout_s, self.component) from error
        return self._object(body, command)

    @asynccontextmanager
    async def post(
        self,
        command: str,
        params: Sequence[tuple[str, str]],
        *,
        path: IpfsPath | None = None,
        data: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        plain: bool = False,
    ) -> AsyncIterator[ClientResponse]:
        """Send a command; every error of the connection leaves as ours, also those inside the block."""
        import aiohttp
        from yarl import URL

        session = self._plain if plain else self._session
        assert session is not None, "use it in an async with block"
        url = URL(f"{self._base}/api/v0/{command}")
        # While a body is sent a node may say nothing for long; who sends it watches that it takes it.
        quiet = None if data is not None else self.read_timeout_s
        limits = aiohttp.ClientTimeout(
            total=None, connect=min(CONNECT_TIMEOUT_S, self.read_timeout_s), sock_read=quiet
        )
        try:
            async with session.post(
                url,
                params=params,
                data=data,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                proxy=proxy_for(url),
            ) as answer:
                if answer.status != 200:
                    text = (await answer.content.read(1 << 16)).decode("utf-8", "replace")
                    raise node_error(self.endpoint, command, path, answer.status, text, self.component)
                yield answer
        except TimeoutError as error:
            raise waited_too_long(self.endpoint, path, self.read_timeout_s, self.component) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise unreachable(self.endpoint, error, self.component) from error

    async def lines(self, answer: ClientResponse, command: str) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the JSON objects of a streamed answer."""
        rest = b""
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_ANSWER:
                raise self.odd(command)
            for line in lines:
                if line.strip():
                    yield self._object(line, command)
        if rest.strip():
            yield self._object(rest, command)

    def _object(self, text: bytes, command: str) -> dict[str, Any]:
        try:
            decoded = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise self.odd(command) from error
        if not isinstance(decoded, dict):
            raise self.odd(command)
        if decoded.get("Type") == "error":
            raise node_error(
                self.endpoint, command, None, 500, text.decode("utf-8", "replace"), self.component
            )
        return decoded

    def odd(self, command: str) -> NetworkFailure:
        return NetworkFailure(
            f"the answer of {self.endpoint} to {command!r} is not that of an IPFS node",
            hint="the endpoint must be the RPC API of Kubo, not its gateway",
            component=self.component,
        )


async def chunks_of(answer: ClientResponse) -> AsyncGenerator[bytes, None]:
    """Yield a body in pieces of about `CHUNK`."""
    pieces: list[bytes] = []
    held = 0
    try:
        async for piece in answer.content.iter_any():
            pieces.append(piece)
            held += len(piece)
            if held >= CHUNK:
                yield b"".join(pieces)
                pieces, held = [], 0
    except Exception:
        # What came before a cut is right, and need not come again.
        if pieces:
            yield b"".join(pieces)
        raise
    if pieces:
        yield b"".join(pieces)
