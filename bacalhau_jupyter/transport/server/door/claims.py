"""The signed texts in which a NATS server asks about a connection and gets its answer (JWT with Ed25519 keys).

Only what this exchange needs: ``$SYS.REQ.USER.AUTH`` as NATS servers speak it since 2.10. The server's question is
not verified: it comes over an account that nobody but the server and us can use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.transport.server.door.doorkeeper import Caller
from bacalhau_jupyter.transport.server.door.permissions import Permissions
from bacalhau_jupyter.transport.server.program import INSTALL

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ACCOUNT_PREFIX = 0
"""First byte of an account's public key in NATS's spelling: makes it begin with an A."""
_VERSION = 2
_SUBSCRIPTIONS = 256
"""A node needs a handful; more would make the server remember things for it without an end."""
_ANSWER_TTL_NS = 300_000_000_000
"""How long a node may take to answer a message. Official nodes give up on one after 30 s."""


@dataclass(frozen=True)
class Question:
    """What the server asks.

    Attributes
    ----------
    caller
        Who connects.
    connection
        The key by which the server knows the connection; the answer is about it.
    server
        The key of the server.
    client
        The server's number for the connection.
    """

    caller: Caller
    connection: str
    server: str
    client: int = 0


class Signer:
    """Signs answers with a key that lives as long as this object.

    Parameters
    ----------
    account
        The server's account that nodes use.

    Raises
    ------
    ConfigurationError
        The library for it is not installed.
    """

    def __init__(self, account: str) -> None:
        self._account = account
        self._key = _new_key()
        self.issuer = public_key(self._key.public_key().public_bytes_raw())
        """The public half, for the server's configuration."""

    def admission(self, question: Question, permissions: Permissions, now_s: int) -> bytes:
        """Return the answer that lets a connection in."""
        user = {
            "sub": question.connection,
            "aud": self._account,
            "name": question.caller.node_id,
            "nats": {
                "pub": {"allow": list(permissions.publish)},
                "sub": {"allow": list(permissions.subscribe)},
                # One answer to each message that it gets, and only to where that message says.
                "resp": {"max": 1, "ttl": _ANSWER_TTL_NS},
                "subs": _SUBSCRIPTIONS,
                "data": -1,
                "payload": -1,
                "type": "user",
                "version": _VERSION,
            },
        }
        return self._answer(question, {"jwt": self._signed(user, now_s)}, now_s)

    def refusal(self, question: Question, reason: str, now_s: int) -> bytes:
        """Return the answer that ends a connection; the reason goes to the server's log only."""
        return self._answer(question, {"error": reason}, now_s)

    def _answer(self, question: Question, content: Mapping[str, object], now_s: int) -> bytes:
        claims = {
            "sub": question.connection,
            "aud": question.server,
            "nats": {**content, "type": "authorization_response", "version": _VERSION},
        }
        return self._signed(claims, now_s).encode()

    def _signed(self, claims: Mapping[str, object], now_s: int) -> str:
        whole: dict[str, object] = {"iat": now_s, "iss": self.issuer, **claims}
        whole["jti"] = base64.b32encode(hashlib.sha256(_packed(whole)).digest()).decode().rstrip("=")
        text = f"{_encoded(_packed({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_encoded(_packed(whole))}"
        return f"{text}.{_encoded(self._key.sign(text.encode()))}"


def read_question(text: bytes) -> Question:
    """Read what the server asks.

    Raises
    ------
    BadRequest
        It is no such question.
    """
    try:
        middle = text.split(b".")[1]
        content = json.loads(base64.urlsafe_b64decode(middle + b"=" * (-len(middle) % 4)))["nats"]
        options, client = content["connect_opts"], content["client_info"]
        caller = Caller(
            host=_text(client, "host"),
            name=_text(options, "name"),
            user=_text(options, "user"),
            password=_text(options, "pass"),
            token=_text(options, "auth_token"),
        )
        number = client.get("id")
        return Question(
            caller,
            _text(content, "user_nkey"),
            _text(content["server_id"], "id"),
            number if isinstance(number, int) else 0,
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BadRequest("The NATS server's question about a connection can't be read.") from None


def public_key(raw: bytes) -> str:
    """Spell an account's public key as NATS does."""
    whole = bytes([_ACCOUNT_PREFIX]) + raw
    return base64.b32encode(whole + binascii.crc_hqx(whole, 0).to_bytes(2, "little")).decode().rstrip("=")


def _new_key() -> Ed25519PrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise ConfigurationError(
            "cryptography, which signs who may use the link of a cluster, is not installed",
            hint=f"{INSTALL}.",
        ) from None
    return Ed25519PrivateKey.generate()


def _text(plain: Mapping[str, Any], name: str) -> str:
    value = plain.get(name, "")
    return value if isinstance(value, str) else ""


def _packed(plain: Mapping[str, object]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
