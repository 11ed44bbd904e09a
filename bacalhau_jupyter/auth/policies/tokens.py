"""The node's key pair, by which policies sign their tokens and know them again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.auth.principals import EVERYTHING, Principal
from bacalhau_jupyter.config.identity import key_pair
from bacalhau_jupyter.models.text import is_readable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_ALGORITHM = "RS256"
_SHORT = 32
"""Digits that tell apart the holders whose names can't be shown."""
READ_ONLY, ALL_RIGHTS = 5, 15
"""Rights on a namespace, in bits: read 1, write 2, download 4, cancel 8."""


@dataclass(frozen=True)
class TokenKey:
    """Signs and knows the tokens of one node.

    Attributes
    ----------
    node_id
        Issuer and audience of every token.
    """

    node_id: str
    _key: RSAPrivateKey = field(repr=False)

    @classmethod
    def load(cls, path: Path, node_id: str) -> TokenKey:
        """Read the key that official nodes sign with (``user_id.pem``); it is made where it is missing.

        Raises
        ------
        ConfigurationError
            The file holds no RSA key, or the package for it is not installed.
        """
        return cls(node_id, key_pair(path))

    def private_jwk(self) -> dict[str, str]:
        """Return the key as login policies get it (``input.signingKey``)."""
        numbers = self._key.private_numbers()
        members = {
            "d": numbers.d,
            "p": numbers.p,
            "q": numbers.q,
            "dp": numbers.dmp1,
            "dq": numbers.dmq1,
            "qi": numbers.iqmp,
        }
        return self._public_jwk() | {name: _number(value) for name, value in members.items()}

    def constraints(self) -> dict[str, str]:
        """Return what tokens must satisfy, as authorization policies get it (``input.constraints``)."""
        keys = json.dumps({"keys": [self._public_jwk()]}, separators=(",", ":"), sort_keys=True)
        return {"cert": keys + "\n", "iss": self.node_id, "aud": self.node_id}

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token with these claims."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        signed = f"{_part({'typ': 'JWT', 'alg': _ALGORITHM})}.{_part(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"

    def claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token that this node signed for itself; None for all others.

        Whether it has expired is not judged: policies give times in microseconds, or otherwise.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        try:
            signed, _, signature = token.rpartition(".")
            head, _, body = signed.partition(".")
            if json.loads(_decoded(head)).get("alg") != _ALGORITHM:
                return None
            public = self._key.public_key()
            public.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(_decoded(body))
        except (ValueError, AttributeError, RecursionError, InvalidSignature):
            return None
        if not isinstance(claims, dict) or claims.get("iss") != self.node_id:
            return None
        audience = claims.get("aud")
        return claims if self.node_id in (audience if isinstance(audience, list) else [audience]) else None

    def anonymous(self, client_id: str, now_ns: int) -> str:
        """Return what the official default policy gives a client that proved its key: all to read, its own to write."""
        return self.sign(
            {
                "iss": self.node_id,
                "sub": client_id,
                "aud": [self.node_id],
                "iat": now_ns / 1000,
                "exp": _a_month_after(now_ns) / 1000,
                "ns": {"*": READ_ONLY, client_id: ALL_RIGHTS},
            }
        )

    def _public_jwk(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}


def holder_of(claims: Mapping[str, Any]) -> Principal:
    """Return in whose name a token with these claims speaks, which this node has signed."""
    subject = claims.get("sub")
    if isinstance(subject, str) and subject and is_readable(subject):
        return Principal(f"token:{subject}", frozenset({EVERYTHING}), title=subject)
    if isinstance(subject, str) and subject:
        # It would stand in histories and messages, where a line break begins a line that somebody made up.
        mark = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:_SHORT]
        return Principal(f"token-of-hash:{mark}", frozenset({EVERYTHING}), title="the holder of a token")
    return Principal("token", frozenset({EVERYTHING}), title="the holder of a token")


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8))


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not base64") from error


def _a_month_after(now_ns: int) -> int:
    """Return the same day and time of the next month; where it has no such day, as many days later."""
    now = datetime.fromtimestamp(now_ns // 10**9, UTC)
    first = now.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1) + timedelta(days=now.day - 1)
    return now_ns + (following - now) // timedelta(seconds=1) * 10**9
