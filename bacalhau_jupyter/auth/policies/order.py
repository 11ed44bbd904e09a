"""In whose name a request is made where a policy decides about it.

The order is that of `auth.access`, with the policy where it asks for a credential:

1. The node's own key is its owner's, and so is a trusted socket without a credential.
2. A token that the policy calls valid decides, on a trusted socket, too.
3. With any other credential, a trusted socket is the owner's.
4. All other requests are the policy's: also those without a token, and those of open routes, as officially.
   A browser needs a valid token, whatever the policy grants to everybody; and so does a route that official nodes
   do not have, because the author of a policy could not think of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.credentials import NO_CREDENTIAL
from bacalhau_jupyter.auth.policies.requests import HttpRequest
from bacalhau_jupyter.auth.policies.tokens import TokenKey, holder_of
from bacalhau_jupyter.auth.policies.verdicts import AccessPolicy, Verdict
from bacalhau_jupyter.auth.principals import ANONYMOUS, EVERYTHING, OWNER, Principal
from bacalhau_jupyter.models.errors import Forbidden, Unauthorized

_REFUSED = "the policy of this node does not accept this request"
_SHORT = 16


@dataclass(frozen=True)
class Asking:
    """A request, before its body is read.

    Attributes
    ----------
    headers
        Its headers.
    transport
        Its connection.
    read
        Returns all of it; the argument says whether its token is one of this node's, whose body may be larger.
    official
        Whether official nodes have its route.
    """

    headers: Mapping[str, str]
    transport: asyncio.BaseTransport | None
    read: Callable[[bool], Awaitable[HttpRequest]]
    official: bool


class PolicyForbids(Forbidden):
    """The policy knows who asks, and does not allow it.

    Parameters
    ----------
    principal
        Who asks.
    """

    default_code = "Forbidden"

    def __init__(self, principal: Principal) -> None:
        super().__init__(
            "Request Forbidden",
            hint="Check if user have access to this resource. Event has been recorded.",
            details={"reason": _REFUSED},
            component="Authorizer",
        )
        self.principal = principal


class PolicyOrder:
    """Decides in whose name a request is made, by a policy.

    Parameters
    ----------
    access
        Knows sockets, browsers and the node's own key.
    policy
        Decides about all else.
    key
        Whose tokens say in whose name a request is made.
    """

    def __init__(self, access: Access, policy: AccessPolicy, key: TokenKey) -> None:
        self._access = access
        self._policy = policy
        self._key = key

    async def identify(self, asking: Asking) -> Principal:
        """Return in whose name an approved request is made.

        Raises
        ------
        Unauthorized
            It has no valid token, and the policy wants one.
        Forbidden
            Its token is valid, and the policy does not allow the request.
        TooManyGuesses
            This caller's tokens were wrong too often; this one was not looked at.
        """
        headers = asking.headers
        trusted = await self._access.is_trusted(headers, asking.transport)
        has_credential = "Authorization" in headers
        if not has_credential and trusted:
            return OWNER
        if has_credential and not trusted:
            self._access.check_guesses(headers, asking.transport)
        if has_credential and (known := await self._access.known(headers)) is not None:
            return known
        claims = self._key.claims(_bearer(headers))
        verdict = await self._policy.verdict(await asking.read(claims is not None))
        valid = has_credential and verdict.token_valid
        if valid:
            principal = _principal(claims, headers)
            if not verdict.approved:
                raise PolicyForbids(principal)
            return principal
        if trusted:
            return OWNER
        try:
            return self._without_token(asking, verdict)
        except Unauthorized:
            if has_credential:
                self._access.guessed_wrong(headers, asking.transport)
            raise

    def _without_token(self, asking: Asking, verdict: Verdict) -> Principal:
        if not verdict.approved:
            if verdict.token_valid:
                raise PolicyForbids(ANONYMOUS)
            raise _unauthorized(_REFUSED)
        if not asking.official or self._access.looks_like_a_browser(asking.headers):
            raise _unauthorized(_REFUSED if "Authorization" in asking.headers else NO_CREDENTIAL)
        return ANONYMOUS


def _principal(claims: Mapping[str, object] | None, headers: Mapping[str, str]) -> Principal:
    """Return whose token this is; only a signature of ours proves what it says."""
    if claims is not None:
        return holder_of(claims)
    mark = hashlib.sha256(headers["Authorization"].encode("utf-8", "surrogateescape")).hexdigest()[:_SHORT]
    return Principal(f"token-by-hash:{mark}", frozenset({EVERYTHING}), title="the holder of a token")


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _unauthorized(reason: str) -> Unauthorized:
    return Unauthorized(
        "Request Unauthorized",
        hint="Log in by one of this node's methods, which /api/v1/auth lists; official clients ask for it themselves.",
        details={"reason": reason},
        component="Authorizer",
    )
