"""``user_id.pem``: the key pair by which official clients log in, and the client ID that is made of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.config.files import create_once
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

FILE_NAME = "user_id.pem"
_BITS = 2048

_PEM = re.compile(r"-----BEGIN RSA PRIVATE KEY-----\s+(.*?)-----END RSA PRIVATE KEY-----", re.DOTALL)
_SEQUENCE, _INTEGER = 0x30, 0x02


def client_id(directory: Path) -> str:
    """Return the ID that official nodes derive from the key in a repo directory.

    Raises
    ------
    NotFound
        There is no such file.
    ConfigurationError
        It holds no RSA key.
    """
    path = directory / FILE_NAME
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise NotFound(
            f"{directory} has no {FILE_NAME}",
            hint="clients of ours need none: the user of this machine is trusted, others have an API key",
        ) from error
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path} can't be read") from error
    block = _PEM.search(text)
    try:
        if block is None:
            raise ValueError(text)
        content, _ = _element(base64.b64decode(block[1]), _SEQUENCE)
        _, rest = _element(content, _INTEGER)
        modulus, _ = _element(rest, _INTEGER)
    except (ValueError, IndexError, binascii.Error) as error:
        raise ConfigurationError(f"{path} holds no RSA key") from error
    return hashlib.sha256(modulus.lstrip(b"\0")).hexdigest()


def key_pair(path: Path) -> RSAPrivateKey:
    """Read the key pair in a file, which is made where it is missing.

    Raises
    ------
    ConfigurationError
        The file can't be read or holds no RSA key, or the package for it is not installed.
    IOFailure
        The file can't be made.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ConfigurationError(
            f"the key pair {path} needs the package cryptography, which is not installed",
            hint="pip install 'bacalhau-jupyter[auth]'",
        ) from error
    try:
        text = read_text(path) if path.exists() else create_once(path, _new_pem())
        key = load_pem_private_key(text.encode(), password=None)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path} holds no RSA key") from error
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"{path} holds no RSA key")
    return key


def _new_pem() -> str:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(65537, _BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the first element, and what follows it."""
    if der[0] != tag:
        raise ValueError(der[0])
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if len(der) < start + length:
        raise ValueError(length)
    return der[start : start + length], der[start + length :]
