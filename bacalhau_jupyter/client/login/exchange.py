"""The requests of a login: how a cluster lets people in, and the exchange of credentials for a token."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from bacalhau_jupyter.client.connection.connection import Connection, unreachable
from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.client.login.provider import Provider
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import (
    BacalhauError,
    Forbidden,
    NotFound,
    Unauthorized,
    error_from_envelope,
)
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.models.wire.api import (
    AuthMethod,
    AuthnRequest,
    AuthnResponse,
    ListAuthMethodsResponse,
)

_TIMEOUT_S = 30.0
_AUTH = "/api/v1/auth"


class Exchange(Connection):
    """Asks a cluster how to log in, and does it; no credential of this client is sent along.

    Parameters
    ----------
    endpoint
        The cluster.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(replace(endpoint, token="", basic=""), timeout_s=_TIMEOUT_S)

    async def provider(self) -> Provider | None:
        """Return the cluster's identity provider; None where it has no single sign-on."""
        try:
            answer = await self.request("GET", "/api/v1/agent/authconfig", dict)
        except (Forbidden, NotFound, Unauthorized):
            # Policies may close this route, and older nodes have none.
            return None
        return Provider.of(answer)

    async def methods(self) -> dict[str, AuthMethod]:
        """Return the cluster's own login methods, by name."""
        return (await self.request("GET", _AUTH, ListAuthMethodsResponse)).methods

    async def token(self, name: str, data: Mapping[str, str]) -> str:
        """Log in by a method; return the token.

        Raises
        ------
        Unauthorized
            The cluster refuses these credentials; its reason is the message.
        BacalhauError
            It can't be reached, or does not understand them.
        """
        import aiohttp

        body = AuthnRequest(name=name, method_data=base64.b64encode(json.dumps(data).encode()).decode())
        try:
            async with self._open().post(
                f"{self.endpoint.url}{_AUTH}/{quote(name, safe='')}",
                data=encode(body),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
                ssl=self.endpoint.ssl(),
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self.endpoint.url, error) from error
        if answer.status not in (200, 401):
            raise _refusal(content, answer.status)
        return _token(content)


async def ways_of(endpoint: Endpoint) -> tuple[Provider | None, dict[str, AuthMethod]]:
    """Return how a cluster lets people in: its identity provider, or without one its own methods by name.

    Raises
    ------
    BacalhauError
        The cluster can't be reached, or its provider is described by halves.
    """
    exchange = Exchange(endpoint)
    try:
        provider = await exchange.provider()
        return provider, {} if provider is not None else await exchange.methods()
    finally:
        await exchange.close()


def _token(content: bytes) -> str:
    try:
        result = decode(content, AuthnResponse, "answer to the login").authentication
    except BacalhauError:
        raise Unauthorized("the cluster refuses this login", component=COMPONENT) from None
    if not result.success or not result.token:
        raise Unauthorized(
            f"login failed: {readable(result.reason[:300]) or 'the cluster gives no reason'}",
            hint="%bacalhau auth login starts again.",
            component=COMPONENT,
        )
    if not (result.token.isascii() and result.token.isprintable()) or " " in result.token:
        raise BacalhauError("the cluster's token can't be sent in a header", component=COMPONENT)
    return result.token


def _refusal(content: bytes, status: int) -> BacalhauError:
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        plain = None
    if isinstance(plain, dict):
        return error_from_envelope(plain, status)
    return BacalhauError(f"the cluster answered the login with HTTP {status}", component=COMPONENT)
