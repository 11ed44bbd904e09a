"""Checks the one signature that official clients make: RSA, PKCS #1 v1.5, SHA-256.

Only a public key and a public phrase come in, so nothing here has to resist timing; a library for this alone
would weigh more than the node's whole API.
"""

from __future__ import annotations

import hashlib

_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""What PKCS #1 puts before a SHA-256 digest (RFC 8017, 9.2)."""
_SEQUENCE, _INTEGER = 0x30, 0x02
_LEAST_BITS, _MOST_BITS = 1024, 8192
_MOST_EXPONENT = 2**32


def is_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` over ``message`` was made with the private part of ``public_key``.

    Parameters
    ----------
    public_key
        PKCS #1 DER. What can't be read, or is too large to be checked cheaply, signs nothing.
    signature
        As many bytes as the modulus has.
    message
        What was signed.
    """
    key = _public_key(public_key)
    if key is None:
        return False
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    if len(signature) != size or int.from_bytes(signature) >= modulus:
        return False
    digest = _DIGEST_INFO + hashlib.sha256(message).digest()
    expected = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    return pow(int.from_bytes(signature), exponent, modulus).to_bytes(size) == expected


def client_id_of(public_key: bytes) -> str:
    """Return the ID that official nodes derive from a client's key (PKCS #1 DER); empty where it is no usable key."""
    key = _public_key(public_key)
    if key is None:
        return ""
    modulus = key[0]
    return hashlib.sha256(modulus.to_bytes((modulus.bit_length() + 7) // 8)).hexdigest()


def _public_key(der: bytes) -> tuple[int, int] | None:
    """Return modulus and exponent; None for anything but a whole and reasonable key."""
    content, rest = _element(der, _SEQUENCE)
    if content is None or rest:
        return None
    modulus, rest = _element(content, _INTEGER)
    exponent, rest = _element(rest, _INTEGER)
    if modulus is None or exponent is None or rest:
        return None
    number, power = int.from_bytes(modulus), int.from_bytes(exponent)
    if not (_LEAST_BITS <= number.bit_length() <= _MOST_BITS and number % 2):
        return None
    return (number, power) if 3 <= power < _MOST_EXPONENT and power % 2 else None


def _element(data: bytes, tag: int) -> tuple[bytes | None, bytes]:
    """Split off one DER element of that tag; returns its content (None where there is none) and the rest."""
    if len(data) < 2 or data[0] != tag:
        return None, b""
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start])
    end = start + length
    return (data[start:end], data[end:]) if length and end <= len(data) else (None, b"")
