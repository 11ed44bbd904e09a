"""``data:`` URLs (RFC 2397): how inline inputs travel in a job's spec."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from bacalhau_jupyter.models.errors import BadRequest

ARCHIVE_TYPE = "application/gzip"
"""The media type that means "unpack me"; any other is a plain file."""

FILE_TYPE = "application/octet-stream"
"""The media type of a single file of ours, whatever its size."""

_DEFAULT_TYPE = "text/plain"
COMPONENT = "InlineInput"


@dataclass(frozen=True)
class DataURL:
    """A decoded data URL: the media type in lower case without parameters, and the bytes."""

    media_type: str
    data: bytes

    @property
    def is_archive(self) -> bool:
        """Whether the bytes are a gzip tar to be unpacked."""
        return self.media_type == ARCHIVE_TYPE


def encode_data_url(data: bytes, media_type: str = FILE_TYPE) -> str:
    """Write bytes as a data URL, in base64."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def decode_data_url(url: str) -> DataURL:
    """Read a data URL.

    Raises
    ------
    BadRequest
        It is empty, no data URL, or its base64 is broken.
    """
    head, payload = _split(url)
    media_type, _, parameters = head.partition(";")
    data = unquote_to_bytes(payload)
    if _is_base64(parameters):
        data = _from_base64(data)
    return DataURL(media_type.strip().lower() or _DEFAULT_TYPE, data)


def check_data_url(url: object) -> str:
    """Return the URL if it looks like one, without decoding it.

    Raises
    ------
    BadRequest
        It is empty, not text, or no data URL.
    """
    if not isinstance(url, str) or not url.strip():
        raise BadRequest(
            "the inline input has no URL",
            hint="put the contents into `URL` as data:text/plain;base64,…",
        )
    _split(url)
    return url


def _split(url: str) -> tuple[str, str]:
    match = re.match(r"\s*data:([^,]*),", url, re.IGNORECASE)
    if match is None:
        shown = url if len(url) <= 40 else f"{url[:40]}…"
        raise BadRequest(
            f"the inline input's URL is not a data URL: {shown!r}",
            hint="it reads data:[media type][;base64],contents",
        )
    return match[1], url[match.end() :]


def _is_base64(parameters: str) -> bool:
    return any(parameter.strip().lower() == "base64" for parameter in parameters.split(";"))


def _from_base64(data: bytes) -> bytes:
    compact = b"".join(data.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error as error:
        raise BadRequest(f"the inline input's contents are not base64: {str(error).lower()}") from error
