"""Login methods: what a client must answer, and the policy that gives it a token."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Protocol

from bacalhau_jupyter.auth.guesses import GuessLimit
from bacalhau_jupyter.auth.policies.engine import UNDEFINED, Engine, PolicyFailed
from bacalhau_jupyter.auth.policies.hosting import TOKEN
from bacalhau_jupyter.auth.policies.tokens import TokenKey, holder_of
from bacalhau_jupyter.auth.policies.verdicts import Complaints
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.signatures import client_id_of, is_signature
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.wire.api import Authentication, AuthMethod, AuthnRequest

_REJECTED = "credentials rejected"
_KEY_REJECTED = "signature verified but user credentials rejected"
_WRONG_SIGNATURE = "crypto/rsa: verification error"
_INVALID = "invalid authentication data"
_MOST_TEXT = 4096
"""Characters of one answer: nobody types more, and scrypt reads all of it."""


class _Refused(Exception):
    """The answer is understood, and nobody is let in for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Method(Protocol):
    """One login method."""

    @property
    def requirement(self) -> AuthMethod:
        """What a client must answer."""
        ...

    async def token(self, data: bytes) -> str:
        """Return the token for an answer.

        Raises
        ------
        BadRequest
            The answer has not the form that the method asks for.
        """
        ...


class TokenPolicy:
    """Asks a login policy for a token.

    Parameters
    ----------
    engine
        Evaluates it.
    key
        Signs tokens.
    complaints
        Where failures are told.
    """

    def __init__(self, engine: Engine, key: TokenKey, complaints: Complaints) -> None:
        self._engine = engine
        self._key = key
        self._complaints = complaints

    async def token(self, identity: dict[str, object]) -> str:
        """Return the token for ``clientId`` or ``ask``; empty where the policy gives none."""
        document = {"signingKey": self._key.private_jwk(), "nodeId": self._key.node_id, **identity}
        try:
            answer = await self._engine.ask(TOKEN, document)
            encoded = answer.get("base64") if isinstance(answer, dict) else None
            if answer is UNDEFINED or encoded is None:
                return ""
            return base64.b64decode(str(encoded), validate=True).decode()
        except PolicyFailed as error:
            self._complaints.write(error.message)
        except (binascii.Error, UnicodeError):
            self._complaints.write("bacalhau.authn.token is not a text")
        return ""


class AskMethod:
    """``ask``: the client fills in a form, and the policy judges the answers.

    Parameters
    ----------
    schema
        The JSON Schema of the form.
    policy
        Gives tokens.
    """

    def __init__(self, schema: dict[str, object], policy: TokenPolicy) -> None:
        self.requirement = AuthMethod(type="ask", params=schema)
        self._policy = policy

    async def token(self, data: bytes) -> str:
        """Return the token for a JSON object of texts."""
        answers = _object(data)
        for name, value in answers.items():
            if not isinstance(value, str | None):
                raise BadRequest(f"{_INVALID}: every answer must be a text, and {name!r} is not one")
            if len(value or "") > _MOST_TEXT:
                raise BadRequest(f"{_INVALID}: {name!r} has more than {_MOST_TEXT} characters")
        token = await self._policy.token({"ask": {name: value or "" for name, value in answers.items()}})
        if not token:
            raise _Refused(_REJECTED)
        return token


class KeyMethod:
    """``challenge``: the client signs the node's ID with its own key, and the policy judges the key's ID.

    Parameters
    ----------
    key
        Signs tokens.
    policy
        Gives tokens; None means the official default, which gives one to every client.
    clock
        Dates those tokens.
    """

    def __init__(self, key: TokenKey, policy: TokenPolicy | None, clock: Clock) -> None:
        self._key = key
        self._policy = policy
        self._clock = clock
        phrase = base64.b64encode(key.node_id.encode()).decode()
        self.requirement = AuthMethod(type="challenge", params={"InputPhrase": phrase})

    async def token(self, data: bytes) -> str:
        """Return the token for a signature."""
        answers = folded(_object(data))
        public, signature = (_bytes(answers, name) for name in ("PublicKey", "PhraseSignature"))
        client_id = client_id_of(public)
        if not client_id:
            raise _Refused("failed to decode public key: it is not an RSA key of a usual size")
        if not is_signature(public, signature, self._key.node_id.encode()):
            raise _Refused(_WRONG_SIGNATURE)
        if self._policy is None:
            return await asyncio.to_thread(self._key.anonymous, client_id, self._clock.now_ns())
        token = await self._policy.token({"clientId": client_id})
        if not token:
            raise _Refused(_KEY_REJECTED)
        return token


class PolicyMethods:
    """The login methods of a node by name.

    Parameters
    ----------
    methods
        Name, in lower case as in its path → method.
    key
        Signs tokens.
    clock
        Ends the time for which a caller with too many wrong credentials is refused.
    """

    def __init__(self, methods: dict[str, Method], key: TokenKey, clock: Clock | None = None) -> None:
        self._methods = methods
        self._key = key
        self._limit = GuessLimit(clock or SystemClock())

    def methods(self) -> dict[str, AuthMethod]:
        """Name → what a client must answer."""
        return {name: method.requirement for name, method in self._methods.items()}

    def requirement(self, name: str) -> AuthMethod:
        """Return what a client must answer; raises NotFound for an unknown name."""
        return self._method(name).requirement

    async def answer(self, name: str, request: AuthnRequest, *, trusted: bool, caller: str) -> Authentication:
        """Answer credentials: a token, or why there is none. The policy judges callers on trusted sockets, too.

        Raises
        ------
        NotFound
            The method does not exist.
        TooManyGuesses
            The caller was wrong too often; nothing was looked at.
        BadRequest
            The credentials are not what the method asks for.
        """
        method = self._method(name)
        # A policy takes its time: guesses that it still looks at count, or many at once would be free.
        with self._limit.trying(caller, f"{name}\0{request.method_data}", "Authentication"):
            try:
                data = _decoded(request.method_data)
                return Authentication(success=True, token=await method.token(data))
            except BadRequest:
                self._limit.failed(caller)
                raise
            except _Refused as refused:
                self._limit.failed(caller)
                return Authentication(success=False, reason=refused.reason)

    def holder(self, token: str) -> Principal | None:
        """Return whose token this is, for the audit log."""
        claims = self._key.claims(token)
        return None if claims is None else holder_of(claims)

    def _method(self, name: str) -> Method:
        if name not in self._methods:
            raise NotFound(f"authentication method not found: {name}")
        return self._methods[name]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("MethodData is not base64") from None


def _object(data: bytes) -> dict[str, object]:
    try:
        plain = decode(data, object, "MethodData")
    except (BadRequest, RecursionError):
        raise BadRequest(f"{_INVALID}: it is not JSON") from None
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise BadRequest(f"{_INVALID}: it is not a JSON object")
    return plain


def _bytes(answers: dict[str, object], name: str) -> bytes:
    value = answers.get(name.lower(), "")
    if not isinstance(value, str):
        raise BadRequest(f"{_INVALID}: {name} is not a text")
    what = "signature" if name == "PhraseSignature" else "public key"
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _Refused(f"failed to decode {what}: it is not base64") from None
