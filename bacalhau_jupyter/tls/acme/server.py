"""A conversation with an ACME server: its directory, signed requests, nonces, and what its refusals say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.tls.acme.account import Account
from bacalhau_jupyter.tls.acme.retry import retry_after

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

REQUEST_TIMEOUT_S = 30.0
_MOST_NONCES = 30
_MOST_BYTES = 1 << 20
_PREFIX = "urn:ietf:params:acme:error:"
_HINTS = {
    "rateLimited": "the server limits how often certificates are ordered; the node tries again when it may",
    "unauthorized": "the server did not get the node's answer: check that the name leads to this host",
    "connection": "the server must reach port 443 (TLS-ALPN-01) or 80 (HTTP-01) of the name, from outside",
    "dns": "check that the DNS has an address for the name",
    "caa": "a CAA record of the domain names another authority",
    "rejectedIdentifier": "the server issues no certificate for this name",
    "externalAccountRequired": "choose a server that needs no account made elsewhere",
}


def host_of(url: str) -> str:
    """Return host and port of an https URL; raises ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(url)
    return parts.netloc


class Refusal(NetworkFailure):
    """The server refused a request.

    Attributes
    ----------
    kind
        The type of its problem document without the prefix, such as ``rateLimited``.
    retry_after_s
        How long it asks to be left alone; 0 where it does not.
    """

    def __init__(self, subject: str, problem: Mapping[str, Any], retry_after_s: float = 0.0) -> None:
        self.kind = str(problem.get("type") or "").removeprefix(_PREFIX)
        self.retry_after_s = retry_after_s
        sentences = [str(problem.get("detail") or self.kind or "no reason given")]
        parts = problem.get("subproblems")
        for part in parts[:10] if isinstance(parts, list) else ():
            if isinstance(part, Mapping):
                who = part.get("identifier")
                value = who.get("value") if isinstance(who, Mapping) else None
                sentences.append(f"{value or 'a name'}: {part.get('detail') or part.get('type')}")
        super().__init__(
            f"{subject}: {'; '.join(sentences)}"[:2000],
            hint=_HINTS.get(self.kind, ""),
            retryable=True,
            details={"type": self.kind},
        )


@dataclass(frozen=True)
class Answer:
    """What a request brought.

    Attributes
    ----------
    location
        URL of what was made; empty where nothing was.
    pause_s
        How long to wait before asking again.
    """

    body: bytes
    location: str
    pause_s: float

    def record(self) -> dict[str, Any]:
        """Return the JSON object in the body; raises NetworkFailure where it is not one."""
        return _record(self.body)


class AcmeServer:
    """One account at one server.

    Parameters
    ----------
    session
        Sends requests; closed by the caller.
    directory_url
        Where the server describes itself.
    account
        Signs the requests.
    """

    def __init__(self, session: ClientSession, directory_url: str, account: Account, *, clock: Clock) -> None:
        self._session = session
        self._directory_url = directory_url
        self._account = account
        self._clock = clock
        self._directory: dict[str, Any] = {}
        self._nonce = ""
        self.rejected_nonces = 0
        """How many requests had to be sent again with another nonce."""

    @property
    def account(self) -> Account:
        """The account that signs."""
        return self._account

    async def open(self, contact: str = "") -> None:
        """Read the directory, and make the account or find it again.

        Raises
        ------
        NetworkFailure
            The server can't be reached, or is no ACME server, or wants no account.
        """
        self._directory = _record((await self._request("GET", self._directory_url)).body)
        for name in ("newNonce", "newAccount", "newOrder"):
            self.place(name)
        payload: dict[str, Any] = {"termsOfServiceAgreed": True}
        if contact:
            payload["contact"] = [f"mailto:{contact}"]
        self._account.url = ""
        answer = await self.post(self.place("newAccount"), payload)
        self._account.url = answer.location

    def place(self, name: str) -> str:
        """Return a URL of the directory; raises NetworkFailure where there is none."""
        url = self._directory.get(name)
        if not isinstance(url, str):
            raise NetworkFailure(
                f"{self._directory_url} is not the directory of an ACME server: it has no {name}",
                hint="check API.TLS.AutoCertDirectory",
            )
        return url

    @property
    def profiles(self) -> tuple[str, ...]:
        """Names of the kinds of certificates that the server offers; empty where it has one only."""
        meta = self._directory.get("meta")
        profiles = meta.get("profiles") if isinstance(meta, Mapping) else None
        return tuple(profiles) if isinstance(profiles, Mapping) else ()

    async def post(self, url: str, payload: Mapping[str, Any] | None = None) -> Answer:
        """Send a signed request; a nonce that the server doesn't take is replaced, many times over.

        Raises
        ------
        Refusal
            The server refused.
        NetworkFailure
            The server can't be reached.
        """
        for _ in range(_MOST_NONCES):
            nonce = self._nonce or await self._fresh_nonce()
            self._nonce = ""
            body = self._account.signed(url, nonce, payload)
            try:
                return await self._request("POST", url, body)
            except Refusal as refusal:
                if refusal.kind != "badNonce":
                    raise
                self.rejected_nonces += 1
        raise NetworkFailure(f"{host_of(url)} took none of {_MOST_NONCES} nonces", retryable=True)

    async def _fresh_nonce(self) -> str:
        await self._request("HEAD", self.place("newNonce"))
        if not self._nonce:
            raise NetworkFailure(f"{host_of(self._directory_url)} gives no nonces")
        return self._nonce

    async def _request(self, method: str, url: str, body: str | None = None) -> Answer:
        import aiohttp

        try:
            host = host_of(url)
        except ValueError as error:
            raise NetworkFailure(f"the ACME server names an address that is no https URL: {url!r}") from error
        headers = {"Content-Type": "application/jose+json"} if body is not None else {}
        try:
            async with (
                asyncio.timeout(REQUEST_TIMEOUT_S),
                # A signature is for one URL, so following a redirect would not help.
                self._session.request(
                    method, url, data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                return await self._understood(host, answer)
        except TimeoutError as error:
            raise NetworkFailure(
                f"{host} did not answer within {REQUEST_TIMEOUT_S:.0f} s", retryable=True
            ) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise NetworkFailure(
                f"the certificate of {host} can't be verified: {error.certificate_error}",
                hint="name the authority of a private ACME server in API.TLS.AutoCertCAFile",
                retryable=True,
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NetworkFailure(
                f"the ACME server {host} can't be reached: {str(error) or type(error).__name__}",
                retryable=True,
            ) from error

    async def _understood(self, host: str, answer: ClientResponse) -> Answer:
        self._nonce = answer.headers.get("Replay-Nonce", "")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > _MOST_BYTES:
                raise NetworkFailure(f"{host} answers with more than {_MOST_BYTES} bytes")
        header = answer.headers.get("Retry-After")
        now_ns = self._clock.now_ns()
        if answer.status >= 300:
            problem = _problem(bytes(body)) or {
                "detail": f"HTTP {answer.status} {answer.reason or ''}".rstrip()
            }
            raise Refusal(host, problem, retry_after(header, now_ns, 0.0))
        return Answer(bytes(body), answer.headers.get("Location", ""), retry_after(header, now_ns, 1.0))


def _problem(body: bytes) -> Mapping[str, Any]:
    try:
        return _record(body)
    except NetworkFailure:
        return {}


def _record(body: bytes) -> dict[str, Any]:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise NetworkFailure("the ACME server does not answer with a JSON object", retryable=True)
    return record
