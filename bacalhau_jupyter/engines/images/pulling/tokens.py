"""Logins at registries: with a name and password, or with a token of whoever the registry trusts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from bacalhau_jupyter.engines.images.pulling.challenges import Challenge
from bacalhau_jupyter.engines.images.recent import Recent
from bacalhau_jupyter.engines.images.references import Reference
from bacalhau_jupyter.engines.registries.credentials import Credentials
from bacalhau_jupyter.lib.nearby import is_near
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.transfer.core.addresses import parse_http_url
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.http.pace import Pace, paced
from bacalhau_jupyter.transfer.http.requests import request

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_LARGEST = 1 << 20
_CLIENT = "bacalhau-jupyter"
_REMEMBERED = 1000


class Tokens:
    """Finds the ``Authorization`` for one registry's repositories, and keeps it.

    Parameters
    ----------
    credentials
        What ``docker login`` left. Asking it blocks.
    timeout_s
        Seconds that the server of tokens may be silent.
    pace
        How fast it has to be.
    """

    def __init__(self, credentials: Credentials, reach: Reach, timeout_s: float, pace: Pace) -> None:
        self._credentials = credentials
        self._reach = reach
        self._timeout_s = timeout_s
        self._pace = pace
        self._kept: Recent[tuple[str, str], str] = Recent(_REMEMBERED)

    def header(self, reference: Reference) -> dict[str, str]:
        """Return what was found before; empty at first."""
        kept = self._kept.get((reference.registry, reference.repository))
        return {"Authorization": kept} if kept else {}

    async def has_login(self, reference: Reference) -> bool:
        """Whether this node has a login for the registry."""
        return bool(await asyncio.to_thread(self._credentials.login, reference.registry))

    async def renew(
        self, session: ClientSession, reference: Reference, challenges: list[Challenge], *, is_plain: bool
    ) -> bool:
        """Answer a registry's challenge; False where there is nothing (new) to answer.

        Parameters
        ----------
        is_plain
            Whether the registry is asked without TLS, which is so on this machine only.

        Raises
        ------
        NetworkFailure, BacalhauError
            The server of tokens can't be asked, or may not be.
        """
        login = await asyncio.to_thread(self._credentials.login, reference.registry)
        header = ""
        for challenge in challenges:
            if challenge.scheme == "basic" and login.get("username"):
                header = _basic(login)
            elif challenge.scheme == "bearer" and login.get("registrytoken"):
                header = f"Bearer {login['registrytoken']}"
            elif challenge.scheme == "bearer":
                header = await self._token(session, reference, challenge, login, is_plain=is_plain)
            if header:
                break
        key = (reference.registry, reference.repository)
        is_new = bool(header) and (header != self._kept.get(key))
        self._kept.keep(key, header)
        return is_new

    async def _token(
        self,
        session: ClientSession,
        reference: Reference,
        challenge: Challenge,
        login: Mapping[str, str],
        *,
        is_plain: bool,
    ) -> str:
        realm = _realm(challenge, reference)
        if urlsplit(realm).scheme != "https" and not (is_plain and is_near(realm)):
            # A login would leave this machine in clear text, and the token is worth as much.
            raise NetworkFailure(
                f"the registry {reference.registry} wants a token that is fetched without TLS",
                component="Images",
            )
        scope = f"repository:{reference.repository}:pull"
        asked = {"service": challenge.service, "scope": scope, "client_id": _CLIENT}
        if refresh := login.get("identitytoken"):
            return await self._refresh(session, realm, asked, refresh)
        headers = {"Authorization": _basic(login)} if login.get("username") else {}
        joined = f"{realm}{'&' if '?' in realm else '?'}{urlencode(asked)}"
        async with request(session, "GET", joined, headers, self._timeout_s, self._reach) as (answer, _):
            return await _token_in(answer, self._pace) if answer.status == 200 else ""

    async def _refresh(
        self, session: ClientSession, realm: str, asked: Mapping[str, str], refresh: str
    ) -> str:
        form = {**asked, "grant_type": "refresh_token", "refresh_token": refresh}
        async with request(session, "POST", realm, {}, self._timeout_s, self._reach, form=form) as (
            answer,
            _,
        ):
            return await _token_in(answer, self._pace) if answer.status == 200 else ""


def _realm(challenge: Challenge, reference: Reference) -> str:
    from yarl import URL

    try:
        return parse_http_url(str(URL(challenge.realm)), "Images")
    except (ValueError, BacalhauError) as error:
        raise NetworkFailure(
            f"the registry {reference.registry} names a server of tokens that can't be asked",
            component="Images",
        ) from error


def _basic(login: Mapping[str, str]) -> str:
    pair = f"{login.get('username', '')}:{login.get('password', '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


async def _token_in(answer: ClientResponse, pace: Pace) -> str:
    data = bytearray()
    async for chunk in paced(answer.content.iter_chunked(1 << 16), pace):
        data += chunk
        if len(data) > _LARGEST:
            return ""
    try:
        body: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return ""
    token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else ""
    usable = isinstance(token, str) and token.isascii() and token.isprintable()
    return f"Bearer {token}" if usable and token else ""
