"""The key of an ACME account, and what is signed with it (RFC 7515, RFC 7638)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.models.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_SIZE = 32


def base64url(data: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key() -> EllipticCurvePrivateKey:
    """Make a P-256 key."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> str:
    """Return the PEM of a key as official nodes write it (SEC 1)."""
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


class Account:
    """Signs requests.

    Parameters
    ----------
    key
        A P-256 key.
    """

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key
        numbers = key.public_key().public_numbers()
        self._public = {
            "crv": "P-256",
            "kty": "EC",
            "x": base64url(numbers.x.to_bytes(_SIZE, "big")),
            "y": base64url(numbers.y.to_bytes(_SIZE, "big")),
        }
        canonical = json.dumps(self._public, sort_keys=True, separators=(",", ":"))
        self._thumbprint = base64url(hashlib.sha256(canonical.encode()).digest())
        self.url = ""
        """Where the server keeps the account; empty until it has one."""

    @classmethod
    def of_pem(cls, pem: str, origin: str) -> Account:
        """Read a key.

        Raises
        ------
        ConfigurationError
            ``origin`` holds no P-256 key.
        """
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = serialization.load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ConfigurationError(
                f"{origin} holds no P-256 key",
                hint="move the file away: the node then makes a new account",
            )
        return cls(key)

    def authorization(self, token: str) -> str:
        """Return the answer to a challenge (RFC 8555, 8.1)."""
        return f"{token}.{self._thumbprint}"

    def signed(self, url: str, nonce: str, payload: Mapping[str, Any] | None) -> str:
        """Return the body of a request; without a payload it is a POST-as-GET."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        who: dict[str, Any] = {"kid": self.url} if self.url else {"jwk": self._public}
        protected = base64url(json.dumps({"alg": "ES256", "nonce": nonce, "url": url, **who}).encode())
        content = "" if payload is None else base64url(json.dumps(payload).encode())
        r, s = decode_dss_signature(
            self._key.sign(f"{protected}.{content}".encode(), ec.ECDSA(hashes.SHA256()))
        )
        signature = base64url(r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big"))
        return json.dumps({"protected": protected, "payload": content, "signature": signature})
