"""Log in from a device without a browser (RFC 8628): a person opens a page elsewhere and enters a code there."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.connection.connection import plain_reason
from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.client.login.provider import Provider, is_web_address
from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.lib.nearby import is_near
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, TimedOut, Unauthorized
from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    import aiohttp

DEFAULT_INTERVAL_S = 5
SLOWER_S = 5
"""What ``slow_down`` adds to the pause, for good."""
LONGEST_INTERVAL_S = 60
DEFAULT_EXPIRY_S = 600
LONGEST_EXPIRY_S = 3600
REQUEST_TIMEOUT_S = 20.0
SIZE_LIMIT = 1024 * 1024
FAILURES = 5
"""Requests in a row that may fail before the client gives up."""
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_CODE_LIMIT = 64
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_START, _FINISH = "unable to initiate SSO login flow", "unable to finish SSO login flow"

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class DeviceCode:
    """What a person needs to log this device in, and what the device needs to ask for the outcome.

    Attributes
    ----------
    user_code
        What to enter at ``url``.
    complete_url
        A page that knows the code already; empty when the provider has none.
    expires_s, interval_s
        Seconds until the code is void, and between two questions.
    """

    device_code: str = field(repr=False)
    user_code: str
    url: str
    complete_url: str
    expires_s: int
    interval_s: int


class DeviceLogin:
    """One login at a provider. Use it on one event loop, as a context.

    Parameters
    ----------
    provider
        Where and as what.
    clock, sleep
        Time.
    """

    def __init__(
        self, provider: Provider, *, clock: Clock | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._provider = provider
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> DeviceLogin:
        import aiohttp

        # A proxy of the environment leads to a provider elsewhere, never to one of this machine.
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            trust_env=not is_near(self._provider.token_url),
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def begin(self) -> DeviceCode:
        """Ask the provider for a code.

        Raises
        ------
        BacalhauError
            It gives none; its own words are in the message.
        """
        form = {"client_id": self._provider.client_id}
        if self._provider.scopes:
            form["scope"] = " ".join(self._provider.scopes)
        if self._provider.audience:
            form["audience"] = self._provider.audience
        try:
            status, answer = await self._post(self._provider.device_url, form)
        except _NoAnswer as failure:
            raise _failure(f"{_START}: {failure}") from failure
        if status != 200:
            raise _failure(f"{_START}: {_provider_reason(answer, status)}")
        return self._code(answer)

    async def token(self, code: DeviceCode) -> str:
        """Wait until the person has confirmed the code; return the access token.

        Raises
        ------
        Unauthorized
            The person, or the provider, refused.
        TimedOut
            The code was not confirmed in time.
        NetworkFailure
            The provider does not answer any more.
        """
        form = {"client_id": self._provider.client_id, "device_code": code.device_code, "grant_type": _GRANT}
        if self._provider.scopes:
            form["scope"] = " ".join(self._provider.scopes)
        end = self._clock.monotonic_ns() + code.expires_s * SECOND
        pause_s, failures = code.interval_s, 0
        while True:
            await self._sleep(pause_s)
            if self._clock.monotonic_ns() >= end:
                raise _too_late()
            try:
                status, answer = await self._post(self._provider.token_url, form)
            except _NoAnswer as failure:
                failures += 1
                if failures >= FAILURES:
                    raise _failure(f"{_FINISH}: {failure}") from failure
                continue
            failures = 0
            if status == 200:
                return _access_token(answer)
            match answer.get("error"):
                case "authorization_pending":
                    pass
                case "slow_down":
                    pause_s = min(pause_s + SLOWER_S, LONGEST_INTERVAL_S)
                case "expired_token":
                    raise _too_late()
                case _:
                    raise Unauthorized(
                        f"{_FINISH}: {_provider_reason(answer, status)}", hint=_AGAIN, component=COMPONENT
                    )

    def _code(self, answer: Mapping[str, Any]) -> DeviceCode:
        texts = {name: value for name, value in answer.items() if isinstance(value, str)}
        # The first is the RFC's name, the second one that some providers use.
        url = texts.get("verification_uri") or texts.get("verification_url") or ""
        complete_url = texts.get("verification_uri_complete", "")
        user_code = texts.get("user_code", "")
        if not (texts.get("device_code") and user_code.isprintable() and 0 < len(user_code) <= _CODE_LIMIT):
            raise _failure(f"{_START}: the identity provider's answer has no usable code")
        if not is_web_address(url):
            raise _failure(f"{_START}: the identity provider's answer names no page to open")
        return DeviceCode(
            device_code=texts["device_code"],
            user_code=user_code,
            url=url,
            complete_url=complete_url if is_web_address(complete_url) else "",
            expires_s=min(_seconds(answer.get("expires_in")) or DEFAULT_EXPIRY_S, LONGEST_EXPIRY_S),
            interval_s=min(
                _seconds(answer.get("interval")) or self._provider.interval_s or DEFAULT_INTERVAL_S,
                LONGEST_INTERVAL_S,
            ),
        )

    async def _post(self, url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Send a form; return status and JSON object. Raises `_NoAnswer` where no such answer comes."""
        import aiohttp

        if self._http is None:
            raise RuntimeError("a DeviceLogin is used as a context")
        headers = {"Accept": "application/json"}
        try:
            async with self._http.post(url, data=form, headers=headers, allow_redirects=False) as answer:
                data = await answer.content.read(SIZE_LIMIT + 1)
                while len(data) <= SIZE_LIMIT and (more := await answer.content.read(SIZE_LIMIT)):
                    data += more
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = plain_reason(error)
            raise _NoAnswer(f"the identity provider can't be reached at {url}: {reason}") from error
        try:
            if len(data) > SIZE_LIMIT or not (answer.status == 200 or 400 <= answer.status < 500):
                raise ValueError
            plain = json.loads(data)
        except (ValueError, RecursionError):
            plain = None
        if not isinstance(plain, dict):
            raise _NoAnswer(
                f"the identity provider answered HTTP {answer.status} without JSON that tells why"
            )
        return answer.status, plain


class _NoAnswer(Exception):
    """The provider gave no usable answer; the message says what came instead."""


_AGAIN = "%bacalhau auth login starts again."


def _too_late() -> BacalhauError:
    return TimedOut(
        f"{_FINISH}: the code was not confirmed in time", hint=_AGAIN, component=COMPONENT, retryable=False
    )


def _failure(sentence: str) -> BacalhauError:
    return NetworkFailure(readable(sentence), hint=_AGAIN, component=COMPONENT, retryable=False)


def _provider_reason(answer: Mapping[str, Any], status: int) -> str:
    """Return what the provider says, in one short line."""
    texts = [answer.get(name) for name in ("error", "error_description")]
    text = ": ".join(item for item in texts if isinstance(item, str) and item)
    return readable(text[:300]) or f"the identity provider answered HTTP {status}"


def _seconds(value: object) -> int:
    """Return a positive number of whole seconds, which some providers write as text; 0 for all else."""
    try:
        return max(0, int(value)) if isinstance(value, (int, float, str)) else 0
    except (ValueError, OverflowError):
        return 0


def _access_token(answer: Mapping[str, Any]) -> str:
    token = answer.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _failure(f"{_FINISH}: the identity provider's answer holds no access token")
    return token
