"""The keys that a provider publishes (a JWK set), kept so that no flood of tokens becomes a flood of fetches."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.lib.nearby import is_near

if TYPE_CHECKING:
    import aiohttp
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = logging.getLogger(__name__)

PAUSE_S = 30
"""Seconds between two fetches, whatever tokens come and whatever the provider answers."""
FRESH_S = 300
"""Seconds for which the keys are used as they are; after that they are fetched again beside their use."""
STALE_S = 3600
"""Seconds after which a token waits for fresh keys first; if the provider fails, the old ones still count."""
FETCH_TIMEOUT_S = 5.0
SIZE_LIMIT = 1024 * 1024
ALGORITHM = "RS256"
_LEAST_BITS = 2048


@dataclass(frozen=True)
class _Keys:
    by_id: Mapping[str, RSAPublicKey]
    every: tuple[RSAPublicKey, ...] = ()


class KeySet:
    """Fetches and keeps the public keys of a provider. Use it on one event loop; close it at the end.

    Parameters
    ----------
    url
        Where the keys are.
    clock
        Measures the age of the keys.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._url = url
        self._clock = clock or SystemClock()
        self._keys = _Keys({})
        self._fetched_ns: int | None = None
        self._tried_ns: int | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._http: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Begin to fetch the keys, so that the first token need not wait."""
        self._begin()

    async def close(self) -> None:
        """Stop fetching, and close the connections."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def key(self, key_id: str | None) -> RSAPublicKey | None:
        """Return the key of that ID (without an ID: the only key there is); None where the provider has none.

        A provider that can't be reached, or answers nonsense, counts as one that has no new keys.
        """
        age_s = self._age_s()
        key = self._known(key_id)
        if age_s is not None and age_s < STALE_S and key is not None:
            if age_s > FRESH_S:
                self._begin()
            return key
        fetch = self._begin()
        if fetch is not None:
            # Shielded: all callers wait for the same fetch, and one that goes away must not end it.
            await asyncio.shield(fetch)
        return self._known(key_id)

    def _known(self, key_id: str | None) -> RSAPublicKey | None:
        if key_id is not None:
            return self._keys.by_id.get(key_id)
        return self._keys.every[0] if len(self._keys.every) == 1 else None

    def _age_s(self) -> float | None:
        return None if self._fetched_ns is None else (self._clock.monotonic_ns() - self._fetched_ns) / SECOND

    def _begin(self) -> asyncio.Task[None] | None:
        """Return the running fetch, beginning one if the last is long enough ago."""
        if self._fetch is not None and not self._fetch.done():
            return self._fetch
        now = self._clock.monotonic_ns()
        if self._tried_ns is not None and now - self._tried_ns < PAUSE_S * SECOND:
            return None
        self._tried_ns = now
        self._fetch = asyncio.create_task(self._refresh(), name="keys of the identity provider")
        return self._fetch

    async def _refresh(self) -> None:
        import aiohttp

        try:
            keys = _usable(await self._get())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            log.warning("the identity provider's keys at %s can't be read: %s", self._url, reason[:200])
            return
        if not keys.every:
            log.warning("the identity provider at %s publishes no key for %s", self._url, ALGORITHM)
        self._keys, self._fetched_ns = keys, self._clock.monotonic_ns()

    async def _get(self) -> bytes:
        import aiohttp

        if self._http is None:
            limit = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
            # A proxy of the environment leads to a provider elsewhere, never to one of this machine.
            self._http = aiohttp.ClientSession(timeout=limit, trust_env=not is_near(self._url))
        # These keys decide who may do what, so an answer must not redirect this request to another server.
        async with self._http.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status}")
            data = bytearray()
            async for chunk in answer.content.iter_any():
                data += chunk
                if len(data) > SIZE_LIMIT:
                    raise ValueError(f"more than {SIZE_LIMIT} bytes")
            return bytes(data)


def _usable(data: bytes) -> _Keys:
    """Read a JWK set; raises ValueError where it is not one. Keys of other kinds are passed over."""
    import jwt

    try:
        document = json.loads(data)
    except ValueError:
        raise ValueError("it is not JSON") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("it is not a set of keys")
    by_id: dict[str, RSAPublicKey] = {}
    every: list[RSAPublicKey] = []
    for member in members:
        if not _is_for_signatures(member):
            continue
        try:
            key: RSAPublicKey = jwt.PyJWK(member, algorithm=ALGORITHM).key
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            continue
        if key.key_size < _LEAST_BITS:
            continue
        every.append(key)
        if isinstance(member.get("kid"), str):
            by_id.setdefault(member["kid"], key)
    return _Keys(by_id, tuple(every))


def _is_for_signatures(member: Any) -> bool:
    """Whether a member of a set is a public RSA key by which tokens may be signed."""
    return (
        isinstance(member, dict)
        and member.get("kty") == "RSA"
        and "d" not in member
        and member.get("use", "sig") == "sig"
        and member.get("alg", ALGORITHM) == ALGORITHM
    )
