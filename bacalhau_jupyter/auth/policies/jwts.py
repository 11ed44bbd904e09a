"""``io.jwt.decode_verify`` as official nodes have it: whether a token is signed by a key, and meets constraints.

The built-in engine's own function takes a token for good whose signature is an HMAC keyed with the public key, which
everybody may know. So this is computed here, with well-known libraries.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_UNVERIFIED: list[object] = [False, {}, {}]
_DEEPEST = 5
"""Tokens within tokens."""


@dataclass(frozen=True)
class _Key:
    key: Any
    alg: str = ""
    kid: str = ""


def decode_verify(token: str, constraints: Mapping[str, object], now_ns: int) -> list[object]:
    """Return ``[valid, header, payload]``; header and payload are empty where the token is not valid.

    Parameters
    ----------
    token
        What came as a token.
    constraints
        ``cert`` (a set of keys, a key, or a certificate) or ``secret``; ``alg``, ``iss``, ``aud``, ``time``.
    now_ns
        Where the constraints name no time.

    Raises
    ------
    ValueError
        The text is not a token, or the constraints are wrong.
    """
    texts = {name: _text(constraints, name) for name in ("cert", "secret", "alg", "iss", "aud")}
    time_ns = constraints.get("time", now_ns)
    if not _is_number(time_ns) or constraints.keys() - {*texts, "time"}:
        raise ValueError("constraints")
    if ("cert" in constraints) == bool(texts["secret"]):
        raise ValueError("one key is needed")
    keys = list(_keys(texts["cert"])) if "cert" in constraints else [_Key(texts["secret"].encode())]
    for _ in range(_DEEPEST):
        head, payload, signature = _parts(token)
        header = _header(_decoded(head))
        if not header["alg"] or (texts["alg"] and texts["alg"] != header["alg"]):
            return _UNVERIFIED
        if _has_unknown_critical(header):
            return _UNVERIFIED
        if not _is_signed(header, keys, f"{head}.{payload}".encode(), _decoded(signature)):
            return _UNVERIFIED
        content = _decoded(payload)
        if str(header.get("cty", "")).upper() != "JWT":
            claims = _object(content)
            plain = _object(_decoded(head))
            return [True, plain, claims] if _meets(claims, texts, float(time_ns) / 1e9) else _UNVERIFIED  # type: ignore[arg-type]
        token = content.decode()
    raise ValueError("tokens within tokens")


def _meets(claims: Mapping[str, Any], texts: Mapping[str, str], now: float) -> bool:
    if texts["iss"]:
        issuer = claims.get("iss", "")
        if not isinstance(issuer, str):
            raise ValueError("iss")
        if issuer != texts["iss"]:
            return False
    if "aud" in claims:
        audience = claims["aud"]
        audiences = audience if isinstance(audience, list) else [audience]
        if texts["aud"] not in [it for it in audiences if isinstance(it, str)]:
            return False
    elif texts["aud"]:
        return False
    for name in ("exp", "nbf"):
        if name in claims and not _is_number(claims[name]):
            raise ValueError(name)
    return not ("exp" in claims and now >= claims["exp"]) and not ("nbf" in claims and now < claims["nbf"])


def _is_signed(header: Mapping[str, Any], keys: list[_Key], signed: bytes, signature: bytes) -> bool:
    alg, kid = header["alg"], header.get("kid", "")
    named = [each for each in keys if kid and each.kid == kid][:1]
    if named:
        return _verifies(named[0].key, alg, signed, signature)
    return any(_verifies(each.key, alg, signed, signature) for each in keys if each.alg in ("", alg))


def _verifies(key: Any, alg: str, signed: bytes, signature: bytes) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from jwt.algorithms import get_default_algorithms

    algorithm = get_default_algorithms().get(alg)
    family = alg[:2]
    fits = {
        "RS": isinstance(key, rsa.RSAPublicKey),
        "PS": isinstance(key, rsa.RSAPublicKey),
        "ES": isinstance(key, ec.EllipticCurvePublicKey)
        and key.curve.name == {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}.get(alg),
        # A public key is never a secret.
        "HS": isinstance(key, bytes),
        "Ed": isinstance(key, ed25519.Ed25519PublicKey),
    }
    if algorithm is None or alg == "none" or not fits.get(family, False):
        return False
    with contextlib.suppress(Exception):
        return bool(algorithm.verify(signed, key, signature))
    return False


def _keys(text: str) -> Iterator[_Key]:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from jwt.algorithms import get_default_algorithms

    if text.lstrip().startswith("-----BEGIN CERTIFICATE"):
        yield _Key(x509.load_pem_x509_certificate(text.encode()).public_key())
        return
    if text.lstrip().startswith("-----BEGIN PUBLIC KEY"):
        yield _Key(serialization.load_pem_public_key(text.encode()))
        return
    document = _object(text.encode())
    known = get_default_algorithms()
    by_type = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
    entries = document.get("keys", [document])
    if not isinstance(entries, list):
        raise ValueError("keys")
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("a key")
        alg, kid = str(entry.get("alg", "")), str(entry.get("kid", ""))
        if alg and alg not in known:
            continue
        kind = entry.get("kty")
        if kind == "oct":
            yield _Key(_decoded(str(entry.get("k", ""))), alg, kid)
        elif kind in by_type:
            try:
                key = known[by_type[kind]].from_jwk(entry)
            except Exception as error:
                raise ValueError("a key") from error
            # Whoever publishes a private key means its public part.
            yield _Key(key.public_key() if hasattr(key, "public_key") else key, alg, kid)
        else:
            raise ValueError("a key")


def _header(content: bytes) -> dict[str, Any]:
    header = _object(content)
    if "enc" in header:
        raise ValueError("an encrypted token")
    for name in ("alg", "kid", "typ", "cty"):
        if not isinstance(header.setdefault(name, ""), str):
            raise ValueError(name)
    return header


def _has_unknown_critical(header: Mapping[str, Any]) -> bool:
    if "crit" not in header:
        return False
    critical = header["crit"]
    if not isinstance(critical, list) or not critical:
        raise ValueError("crit")
    return any(name in header and name not in ("alg", "kid", "typ", "cty", "crit") for name in critical)


def _parts(token: str) -> list[str]:
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("no token")
    return parts


def _object(content: bytes) -> dict[str, Any]:
    def refuse(word: str) -> None:
        raise ValueError(word)

    plain = json.loads(content, parse_constant=refuse)
    if not isinstance(plain, dict):
        raise ValueError("no object")
    return plain


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(
            text.rstrip("=").encode("ascii") + b"=" * (-len(text.rstrip("=")) % 4), b"-_", True
        )
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not base64") from error


def _text(constraints: Mapping[str, object], name: str) -> str:
    value = constraints.get(name, "")
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
