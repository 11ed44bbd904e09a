"""Hashes of passwords, as a configuration or a policy holds them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from types import ModuleType

from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError

COMPONENT = "Auth"

LONGEST = 100
"""Bytes of a password that may be hashed."""
LONGEST_FOR_BCRYPT = 72
"""Bytes of a password that bcrypt looks at."""
_COST = 10
_SALT_BYTES = 32
# What the official policies' built-in function takes: 32 MiB for each hash.
_SCRYPT = {"n": 32768, "r": 8, "p": 1, "maxmem": 64 << 20, "dklen": 32}


def bcrypt_library() -> ModuleType:
    """Return the library that makes and checks bcrypt hashes.

    Raises
    ------
    ConfigurationError
        It is not installed.
    """
    try:
        import bcrypt
    except ImportError as error:
        raise ConfigurationError(
            "bcrypt hashes of passwords need the library bcrypt, which is not installed",
            hint="pip install 'bacalhau-jupyter[auth]'",
        ) from error
    return bcrypt


def bcrypt_hash(password: str) -> str:
    """Return a hash for ``Password`` in ``API.Auth.Users``.

    Raises
    ------
    BadRequest
        The password is empty or too long, in the official words.
    ConfigurationError
        The library is missing.
    """
    data = _checked(password)
    if len(data) > LONGEST_FOR_BCRYPT:
        raise BadRequest(
            f"failed to hash password: bcrypt: password length exceeds {LONGEST_FOR_BCRYPT} bytes"
        )
    bcrypt = bcrypt_library()
    made: bytes = bcrypt.hashpw(data, bcrypt.gensalt(_COST, b"2a"))
    return made.decode()


def scrypt_line(password: str) -> str:
    """Return hash and salt as a policy for logins with passwords holds them: a line of JSON.

    Raises
    ------
    BadRequest
        The password is empty or too long.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    made = scrypt_hash(_checked(password), salt)
    return json.dumps([base64.b64encode(part).decode() for part in (made, salt)], separators=(",", ":"))


def scrypt_hash(password: bytes, salt: bytes) -> bytes:
    """Return the hash that the official policies' function ``scrypt`` makes. Blocks for a tenth of a second."""
    return hashlib.scrypt(password, salt=salt, **_SCRYPT)


def _checked(password: str) -> bytes:
    data = password.encode("utf-8", "surrogateescape")
    if not data:
        raise BadRequest("password cannot be empty")
    if len(data) > LONGEST:
        raise BadRequest(f"password exceeds maximum length of {LONGEST} characters")
    return data
