"""Answer a cluster's challenge with the client's own key pair, the official CLI's ``user_id.pem``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.config.files import create_once
from bacalhau_jupyter.config.identity import FILE_NAME
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_BITS = 2048
_PHRASE_LIMIT = 4096


def signed(params: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """Sign the phrase of a challenge with the key of a repo directory, which is made where it has none.

    Raises
    ------
    BacalhauError
        There is no phrase, the key can't be used, or the library for it is not installed.
    """
    try:
        phrase = base64.b64decode(str(params.get("InputPhrase") or ""), validate=True)
    except (binascii.Error, ValueError):
        phrase = b""
    if not 0 < len(phrase) <= _PHRASE_LIMIT:
        raise BacalhauError("this cluster's challenge has no phrase to sign", component=COMPONENT)
    try:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    except ModuleNotFoundError as error:
        raise BacalhauError(
            "logging in with a key pair needs the package cryptography",
            hint="pip install 'bacalhau-jupyter[auth]'",
            component=COMPONENT,
        ) from error
    key = _key(directory / FILE_NAME)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return {
        "PhraseSignature": base64.b64encode(key.sign(phrase, PKCS1v15(), SHA256())).decode(),
        "PublicKey": base64.b64encode(public).decode(),
    }


def _key(path: Path) -> RSAPrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        text = read_text(path) if path.exists() else create_once(path, _fresh())
        key = load_pem_private_key(text.encode(), None)
        if not isinstance(key, RSAPrivateKey):
            raise TypeError
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path} holds no RSA key") from error
    return key


def _fresh() -> str:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(65537, _BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
