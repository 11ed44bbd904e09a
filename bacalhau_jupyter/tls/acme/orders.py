"""One order, from the names to the certificate (RFC 8555, 7.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import ConfigurationError, NetworkFailure, TimedOut
from bacalhau_jupyter.tls.acme.account import base64url, key_pem, new_key
from bacalhau_jupyter.tls.acme.bundle import Bundle
from bacalhau_jupyter.tls.acme.challenges import Answers
from bacalhau_jupyter.tls.acme.names import identifier, is_address
from bacalhau_jupyter.tls.acme.server import AcmeServer, Answer, Refusal
from bacalhau_jupyter.tls.names import general_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ORDER_TIMEOUT_S = 600.0
_LONGEST_PAUSE_S = 30.0
_FOR_ADDRESSES = ("shortlived",)
_USUAL = ("classic", "default")
"""Profiles in the order in which they are chosen; a server that is not asked for one may take any."""

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is ordered.

    Attributes
    ----------
    profile
        Kind of certificate; empty chooses the usual one.
    """

    names: tuple[str, ...]
    profile: str = ""


async def obtain(
    server: AcmeServer, wish: Wish, answers: Answers, *, clock: Clock, sleep: Sleep = asyncio.sleep
) -> Bundle:
    """Order a certificate and wait for it.

    Raises
    ------
    NetworkFailure
        The server can't be reached, or refused, or could not validate a name.
    ConfigurationError
        The server has no such profile.
    TimedOut
        The order was not done in time.
    """
    try:
        async with asyncio.timeout(ORDER_TIMEOUT_S):
            return await _Ordering(server, answers, sleep).run(wish, clock)
    except TimeoutError as error:
        raise TimedOut(
            f"the certificate was not issued within {ORDER_TIMEOUT_S:.0f} s", retryable=True
        ) from error


class _Ordering:
    def __init__(self, server: AcmeServer, answers: Answers, sleep: Sleep) -> None:
        self._server = server
        self._answers = answers
        self._sleep = sleep

    async def run(self, wish: Wish, clock: Clock) -> Bundle:
        request: dict[str, Any] = {"identifiers": [identifier(name) for name in wish.names]}
        if profile := chosen_profile(wish, self._server.profiles):
            request["profile"] = profile
        answer = await self._server.post(self._server.place("newOrder"), request)
        url, order = answer.location, answer.record()
        for authorization in _texts(order, "authorizations"):
            await self._authorize(authorization)
        order = await self._polled(url, "ready", "valid", "invalid")
        key = new_key()
        if order["status"] == "ready":
            request = {"csr": base64url(_signing_request(key, wish.names))}
            await self._server.post(str(order.get("finalize")), request)
            order = await self._polled(url, "valid", "invalid")
        if order["status"] == "invalid":
            raise Refusal("the order failed", _mapping(order.get("error")))
        chain = (await self._server.post(str(order.get("certificate")))).body.decode("ascii", "replace")
        try:
            bundle = Bundle.of_pem(key_pem(key) + chain)
        except ValueError as error:
            raise NetworkFailure(
                f"the ACME server issued no usable certificate: {error}", retryable=True
            ) from error
        if not bundle.covers(wish.names) or bundle.ends_ns <= clock.now_ns():
            raise NetworkFailure(
                "the ACME server issued another certificate than the one ordered", retryable=True
            )
        return bundle

    async def _authorize(self, url: str) -> None:
        """Prove one name, unless the server remembers an earlier proof."""
        record = (await self._server.post(url)).record()
        if record.get("status") == "valid":
            return
        name = str(_mapping(record.get("identifier")).get("value") or "the name")
        challenges = _mappings(record, "challenges")
        kinds = [str(challenge.get("type")) for challenge in challenges]
        if self._answers.kind not in kinds:
            raise NetworkFailure(
                f"{name}: the ACME server offers {', '.join(kinds) or 'no challenge'}, not {self._answers.kind}",
                hint="choose another API.TLS.AutoCertChallenge, or another server",
            )
        challenge = challenges[kinds.index(self._answers.kind)]
        token = str(challenge.get("token"))
        self._answers.put(name, token, self._server.account.authorization(token))
        try:
            await self._server.post(str(challenge.get("url")), {})
            record = await self._polled(url, "valid", "invalid", "deactivated", "expired", "revoked")
        finally:
            self._answers.drop(name, token)
        if record["status"] != "valid":
            errors = [_mapping(each.get("error")) for each in _mappings(record, "challenges")]
            reason = next(filter(None, errors), {"detail": f"the proof is {record['status']}"})
            raise Refusal(f"{name} could not be validated", reason)

    async def _polled(self, url: str, *states: str) -> dict[str, Any]:
        """Ask until a record is in one of these states, as often as the server likes."""
        while True:
            answer: Answer = await self._server.post(url)
            record = answer.record()
            if record.get("status") in states:
                return record
            await self._sleep(min(answer.pause_s, _LONGEST_PAUSE_S))


def chosen_profile(wish: Wish, offered: tuple[str, ...]) -> str:
    """Return which profile to name; empty where the server has none.

    Raises
    ------
    ConfigurationError
        The one asked for is not offered.
    """
    if wish.profile:
        if wish.profile not in offered:
            raise ConfigurationError(
                f"the ACME server has no profile {wish.profile!r}, only: {', '.join(offered) or 'none'}",
                hint="change or remove API.TLS.AutoCertProfile",
            )
        return wish.profile
    preferred = (*_FOR_ADDRESSES, *_USUAL) if any(map(is_address, wish.names)) else _USUAL
    return next((profile for profile in preferred if profile in offered), next(iter(offered), ""))


def _signing_request(key: EllipticCurvePrivateKey, names: tuple[str, ...]) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    hosts = [general_name(name) for name in names]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.DER)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(record: Mapping[str, Any], name: str) -> list[str]:
    values = record.get(name)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _mappings(record: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    values = record.get(name)
    return [_mapping(value) for value in values] if isinstance(values, list) else []
