"""Recognises the users of a configuration by their password or key."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bacalhau_jupyter.auth.credentials import Basic, Credential, refusal
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.users.hashes import cost_of, matches
from bacalhau_jupyter.auth.users.records import User, principals_of
from bacalhau_jupyter.auth.users.verdicts import Verdicts
from bacalhau_jupyter.config.passwords import bcrypt_library
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import ServiceUnavailable

THREADS = 2
WAITING = 64
"""Passwords that are checked at once; each takes a thread for the time of a hash."""
INVALID_PASSWORD = "invalid basic auth credentials"


class ConfiguredUsers:
    """Knows user names with passwords, and API keys. Close it at the end.

    Parameters
    ----------
    users
        The users.
    clock
        Ends what is remembered of checked passwords.

    Raises
    ------
    ConfigurationError
        A password is a hash, and the library that checks it is missing.
    """

    def __init__(self, users: Sequence[User], clock: Clock) -> None:
        principals = principals_of(users)
        self._by_name = {
            user.username.lower(): (user.password, principal)
            for user, principal in zip(users, principals, strict=True)
            if user.password
        }
        # Looked up by hash, so that the time of a look-up says nothing about a key.
        self._by_key = {
            _hash(user.api_key): principal
            for user, principal in zip(users, principals, strict=True)
            if user.api_key
        }
        self._cost = max((cost_of(user.password) for user in users), default=0)
        if self._cost:
            bcrypt_library()
        self._verdicts = Verdicts(clock)
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._threads = ThreadPoolExecutor(THREADS, "bacalhau-passwords")

    async def authenticate(self, credential: Credential) -> Principal | None:
        """Return whose password or key this is; None for a bearer that is not one of the keys.

        Raises
        ------
        Unauthorized
            It is a user name with a password, and not valid.
        ServiceUnavailable
            Too many passwords are being checked.
        """
        if not isinstance(credential, Basic):
            return self._by_key.get(_hash(credential.token))
        username = credential.username.lower()
        stored, principal = self._by_name.get(username, ("", None))
        if not await self._is_right(username, credential.password, stored) or principal is None:
            raise refusal(INVALID_PASSWORD)
        return principal

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _is_right(self, username: str, password: str, stored: str) -> bool:
        if not self._cost:
            return matches(password, stored, 0)
        name = self._verdicts.name_of(username, password)
        verdict = self._verdicts.get(name)
        if verdict is not None:
            return verdict
        task = self._checks.get(name)
        if task is None:
            if len(self._checks) >= WAITING:
                raise ServiceUnavailable("too many log-ins at once; try again in a moment", retryable=True)
            task = self._checks[name] = asyncio.create_task(self._check(name, password, stored))
        # Others may wait for the same answer when this caller hangs up.
        return await asyncio.shield(task)

    async def _check(self, name: bytes, password: str, stored: str) -> bool:
        try:
            loop = asyncio.get_running_loop()
            verdict = await loop.run_in_executor(self._threads, matches, password, stored, self._cost)
            self._verdicts.keep(name, verdict)
            return verdict
        finally:
            del self._checks[name]


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
