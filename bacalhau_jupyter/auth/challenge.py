"""The token exchange that official clients do before their first protected call.

The token authorises nothing here (see `access`): it only lets those clients go on, so it is random and forgotten.
A wrong signature never gets a token, also on a trusted socket.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Protocol

from bacalhau_jupyter.auth.guesses import GuessLimit
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.signatures import is_signature
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.wire.api import Authentication, AuthMethod, AuthnRequest

METHOD = "clientkey"
"""The one method's name, in lower case as in its path."""


_NOT_TRUSTED = "this node accepts its own OS user on this machine, or its API key (BACALHAU_API_KEY)"
_NOT_SIGNED = "the signature does not match this key and this node's phrase"


class LoginMethods(Protocol):
    """The ways to exchange credentials for a token."""

    def methods(self) -> dict[str, AuthMethod]:
        """Name → how."""
        ...

    def requirement(self, name: str) -> AuthMethod:
        """Return how a method works; raises NotFound for an unknown name."""
        ...

    async def answer(self, name: str, request: AuthnRequest, *, trusted: bool, caller: str) -> Authentication:
        """Answer credentials with a token or a refusal; raises BadRequest for what the method can't read."""
        ...

    def holder(self, token: str) -> Principal | None:
        """Return whose token this is; None where tokens are nobody's."""
        ...


class ChallengeMethod:
    """The ``clientkey`` method: sign a phrase with a key that the client made for itself.

    Parameters
    ----------
    node_id
        The phrase, as officially.
    clock
        Ends the time for which a caller with too many wrong credentials is refused.
    """

    def __init__(self, node_id: str, clock: Clock | None = None) -> None:
        self._phrase = node_id.encode()
        self._limit = GuessLimit(clock or SystemClock())
        phrase = base64.b64encode(self._phrase).decode()
        self.method = AuthMethod(type="challenge", params={"InputPhrase": phrase})

    def methods(self) -> dict[str, AuthMethod]:
        """Name → how."""
        return {METHOD: self.method}

    def requirement(self, name: str) -> AuthMethod:
        """Return how method ``name`` works; raises NotFound for another name."""
        if name != METHOD:
            raise NotFound(f"authentication method not found: {name}")
        return self.method

    async def answer(self, name: str, request: AuthnRequest, *, trusted: bool, caller: str) -> Authentication:
        """Answer credentials: a token for a right signature of a trusted caller, a refusal for everybody else.

        Parameters
        ----------
        name
            The method.
        request
            What the client sent.
        trusted
            Whether the caller needs no credential here.
        caller
            By whom tries are counted.

        Raises
        ------
        NotFound
            The method does not exist.
        TooManyGuesses
            The caller was wrong too often; nothing was looked at.
        BadRequest
            The credentials are not what the method asks for.
        """
        self.requirement(name)
        self._limit.check(caller, "Authentication")
        try:
            signed = self._is_signed(request.method_data)
        except BadRequest:
            self._limit.failed(caller)
            raise
        if signed and trusted:
            return Authentication(success=True, token=secrets.token_urlsafe(32))
        self._limit.failed(caller)
        return Authentication(success=False, reason=_NOT_TRUSTED if signed else _NOT_SIGNED)

    def holder(self, token: str) -> Principal | None:
        """Tokens of this method are random and nobody's."""
        return None

    def _is_signed(self, method_data: str) -> bool:
        data = _base64(method_data, "MethodData")
        answer = folded(decode(data, dict[str, object], "MethodData"))
        key, signature = (_member(answer, name) for name in ("PublicKey", "PhraseSignature"))
        return is_signature(key, signature, self._phrase)


def _member(answer: dict[str, object], name: str) -> bytes:
    value = answer.get(name.lower())
    if not isinstance(value, str):
        raise BadRequest(f"MethodData has no {name}")
    return _base64(value, name)


def _base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{what} is not base64") from None
