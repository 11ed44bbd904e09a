"""Answer a cluster's challenge with the client's own key pair, the official CLI's ``user_id.pem``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.config.identity import FILE_NAME, key_pair
from bacalhau_jupyter.models.errors import BacalhauError

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
    key = key_pair(directory / FILE_NAME)
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return {
        "PhraseSignature": base64.b64encode(key.sign(phrase, PKCS1v15(), SHA256())).decode(),
        "PublicKey": base64.b64encode(public).decode(),
    }
