"""Access to the node: the same OS user needs no credential, all other callers need one.

One look-up per connection shows whether our own user owns its socket (``TrustedSockets``); `Access` combines
that with what the request says. The order is fixed:

1. A request that looks like a browser's, or that was forwarded, needs a credential.
2. A valid credential decides, on a trusted socket, too: else a user could not try out a weaker one.
3. Without one, or with an invalid one (stale bearers do come), a trusted socket is the owner's.
4. All other requests are refused. Wrong credentials are counted; after too many they are no longer checked.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from bacalhau_jupyter.auth.credentials import (
    INVALID_KEY,
    NO_CREDENTIAL,
    Authenticator,
    Credential,
    Unguessable,
    parse,
    refusal,
)
from bacalhau_jupyter.auth.forwarding import forwarded_for, is_forwarded
from bacalhau_jupyter.auth.guesses import GUESSES, GuessLimit
from bacalhau_jupyter.auth.principals import OWNER, Principal
from bacalhau_jupyter.auth.sockets import Caller, TrustedSockets
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.models.errors import Unauthorized

PROXIED_GUESSES = 10 * GUESSES
"""Wrong credentials that a proxy of this machine may forward in the time in which one caller may send `GUESSES`."""


class Access:
    """Decides in whose name a request is made.

    Parameters
    ----------
    authenticators
        They check credentials, in this order: the first that accepts or refuses a credential decides.
    sockets
        The look at the connection.
    host_names
        Further names by which callers may address this node (``API.Host``).
    clock
        Ends the time for which a caller with too many wrong credentials is refused.
    """

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        sockets: TrustedSockets,
        *,
        host_names: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._sockets = sockets
        self._names = frozenset({"localhost", *(name.lower() for name in host_names if name)})
        self._limit = GuessLimit(clock or SystemClock())
        self._proxies = GuessLimit(clock or SystemClock(), PROXIED_GUESSES)

    async def identify(
        self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None
    ) -> Principal:
        """Return in whose name the request is made.

        Raises
        ------
        Unauthorized
            It needs a credential, and has no valid one; ``details`` say why.
        TooManyGuesses
            Only a credential could help this request, and this caller's were wrong too often.
        """
        if not await self.is_trusted(headers, transport):
            return await self.with_credential(headers, transport)
        try:
            return await self._authenticated(headers)
        except Unauthorized:
            return OWNER

    async def is_trusted(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> bool:
        """Whether the request needs no credential: our own user's socket, and no browser or proxy behind it."""
        # The connection is judged first and always: later requests on it must not change the answer.
        ours = await self._sockets.is_ours(transport)
        return ours and not self.looks_like_a_browser(headers) and not is_forwarded(headers)

    async def with_credential(
        self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None
    ) -> Principal:
        """Return whose valid credential the request carries; wrong ones count against the caller.

        Raises
        ------
        Unauthorized
            It has none, or a wrong one; ``details`` say why.
        TooManyGuesses
            This caller's credentials were wrong too often; this one was not looked at.
        """
        if "Authorization" not in headers:
            raise refusal(NO_CREDENTIAL)
        limits = self._limits(headers, transport)
        with ExitStack() as stack:
            for limit, caller in limits:
                stack.enter_context(limit.trying(caller, headers["Authorization"], "APIServer"))
            try:
                return await self._authenticated(headers)
            except Unguessable:
                raise
            except Unauthorized:
                for limit, caller in limits:
                    limit.failed(caller)
                raise

    def guesser(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> str:
        """Tell by whom wrong credentials are counted: behind a proxy of this machine, by whom it forwards for."""
        caller = self.caller(transport)
        origin = forwarded_for(headers) if caller.is_of_this_machine else ""
        return f"{origin} through {caller.key}" if origin else caller.key

    def _limits(
        self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None
    ) -> list[tuple[GuessLimit, str]]:
        """Return what counts this caller; a program of this machine could invent whom it forwards for."""
        caller, guesser = self.caller(transport).key, self.guesser(headers, transport)
        return [(self._limit, guesser), *([(self._proxies, caller)] if guesser != caller else [])]

    def check_guesses(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> None:
        """Raise `TooManyGuesses` where this caller was wrong too often."""
        for limit, caller in self._limits(headers, transport):
            limit.check(caller, "APIServer")

    def guessed_wrong(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> None:
        """Count a wrong credential."""
        for limit, caller in self._limits(headers, transport):
            limit.failed(caller)

    async def known(self, headers: Mapping[str, str]) -> Principal | None:
        """Return whose credential a request carries; None without a valid one. Wrong ones don't count as guesses."""
        try:
            return await self._authenticated(headers)
        except Unauthorized:
            return None

    def caller(self, transport: asyncio.BaseTransport | None) -> Caller:
        """Tell by whom a connection is limited."""
        return self._sockets.caller(transport)

    def looks_like_a_browser(self, headers: Mapping[str, str]) -> bool:
        """Whether a page could have caused the request, or made a name resolve to us (DNS rebinding)."""
        if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none":
            return True
        return not self._is_our_name(headers.get("Host", ""))

    async def _authenticated(self, headers: Mapping[str, str]) -> Principal:
        header = headers.get("Authorization")
        if header is None:
            raise refusal(NO_CREDENTIAL)
        return await self.recognise(parse(header))

    async def recognise(self, credential: Credential) -> Principal:
        """Return whose credential this is, without a limit on guesses.

        Raises
        ------
        Unauthorized
            No authenticator accepts it; ``details`` say why.
        """
        for authenticator in self._authenticators:
            principal = await authenticator.authenticate(credential)
            if principal is not None:
                return principal
        raise refusal(INVALID_KEY)

    def _is_our_name(self, host: str) -> bool:
        name = _without_port(host).lower()
        if name in self._names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        name, closed, rest = host[1:].partition("]")
        return name if closed and (not rest or rest.startswith(":")) else host
    return host.partition(":")[0] if host.count(":") == 1 else host
