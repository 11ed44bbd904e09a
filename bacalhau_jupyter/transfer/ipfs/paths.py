"""Names of content in IPFS: ``CID`` or ``CID/sub/path``, checked before any node is asked."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BadRequest

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_LONGEST = 4096


@dataclass(frozen=True)
class IpfsPath:
    """A CID, and what is meant below it: names with ``/`` between them, or nothing."""

    cid: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.cid}/{self.path}" if self.path else self.cid

    @property
    def argument(self) -> str:
        """As the RPC API takes it."""
        return f"/ipfs/{self}"

    @property
    def name(self) -> str:
        """Name of the root in the archives that a node makes of it."""
        return str(self).rpartition("/")[2]

    def below(self, path: str) -> IpfsPath:
        """Return what lies under a relative path of it; the empty path is itself."""
        return IpfsPath(self.cid, "/".join(part for part in (self.path, path) if part))


def parse_path(text: object, component: str) -> IpfsPath:
    """Read ``CID`` or ``CID/sub/path``.

    Raises
    ------
    BadRequest
        It is not that: the CID is broken, or a name in the path is empty, ``.`` or ``..``.
    """
    if not isinstance(text, str) or not text.strip():
        raise BadRequest(
            "CID of the IPFS content is missing", hint='give Params {"CID": "Qm…"}', component=component
        )
    plain = text.strip().removeprefix("ipfs://").removeprefix("/ipfs/")
    cid, _, path = plain.partition("/")
    _check_cid(cid, component)
    path = path.rstrip("/")
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") or "\0" in part for part in parts) or len(path) > _LONGEST:
        raise BadRequest(f"the path {path[:200]!r} below the CID {cid} is not plain", component=component)
    return IpfsPath(cid, path)


def path_of(params: Mapping[str, Any], component: str) -> IpfsPath:
    """Read the parameters of an ``ipfs`` source or result; names in any case.

    Raises
    ------
    BadRequest
        ``CID`` is missing or broken.
    """
    return parse_path(folded(params).get("cid"), component)


def _check_cid(text: str, component: str) -> None:
    try:
        whole = _is_cid(text)
    except (ValueError, binascii.Error):
        whole = False
    if not whole:
        raise BadRequest(
            f"{text[:100]!r} is not a CID",
            hint="a CID starts with Qm… or baf… and is copied as it stands; names (IPNS) are not accepted",
            component=component,
        )


def _is_cid(text: str) -> bool:
    """Whether a text is a CID of version 0 or 1 with a hash of the length that it says."""
    if text.startswith("Qm"):
        data = _digits(text, _BASE58)
        return len(text) == 46 and len(data) == 34 and data[:2] == b"\x12\x20"
    if len(text) < 8:
        return False
    data = _decoded(text[0], text[1:])
    version, data = _varint(data)
    _codec, data = _varint(data)
    _hash, data = _varint(data)
    length, digest = _varint(data)
    return version == 1 and length == len(digest) and length <= 128


def _decoded(base: str, text: str) -> bytes:
    match base:
        case "b" | "B":
            upper = text.upper()
            if text not in (upper, upper.lower()):
                raise ValueError("mixed case")
            return base64.b32decode(upper + "=" * (-len(upper) % 8))
        case "z":
            return _digits(text, _BASE58)
        case "k" | "K":
            return _digits(text.lower(), _BASE36)
        case "f" | "F":
            return bytes.fromhex(text)
        case "m":
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        case "u":
            return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    raise ValueError("no such base")


def _digits(text: str, alphabet: str) -> bytes:
    """Decode a number in a base; zeros in front count, as in base58."""
    if len(text) > 256:
        raise ValueError("too long")
    number = 0
    for character in text:
        number = number * len(alphabet) + alphabet.index(character)
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for index, byte in enumerate(data[:9]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, data[index + 1 :]
    raise ValueError("no varint")
