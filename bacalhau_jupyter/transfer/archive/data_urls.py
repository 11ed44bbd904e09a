"""``data:`` URLs (RFC 2397): how inline inputs travel in a job's spec."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.units import format_bytes
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.core.files import io_failure

if TYPE_CHECKING:
    from typing_extensions import Buffer

ARCHIVE_TYPE = "application/gzip"
"""The media type that means "unpack me"; any other is a plain file."""

FILE_TYPE = "application/octet-stream"
"""The media type of a single file of ours, whatever its size."""

MAX_INLINE = 10_000_000
"""Characters of a data URL that fit a request to a Bacalhau node (its body limit is 10 MB)."""

_OFFICIAL_PLAIN_LIMIT = 512
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


def encode_data_url(data: bytes, media_type: str = FILE_TYPE, *, as_base64: bool = True) -> str:
    """Write bytes as a data URL, in base64 or percent-encoded."""
    if as_base64:
        return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    return f"data:{media_type},{quote_from_bytes(data, safe='')}"


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


def encode_inline(content: Path | bytes, *, official: bool = False, max_length: int = MAX_INLINE) -> str:
    """Turn a file, a directory or bytes into the data URL of an inline input.

    A directory becomes a gzip tar, which arrives as a directory at the target. A single file stays a plain file
    whatever its size. With ``official`` it is packed, too, when larger than 512 bytes: that is what the official
    client does, and then it arrives as a *directory* that holds the file.

    Blocking: call it in a thread where files may be large.

    Raises
    ------
    IOFailure
        The path can't be read.
    BadRequest
        The URL would be longer than ``max_length`` characters.
    """
    if isinstance(content, bytes):
        return _encode_plain(content, max_length)
    try:
        if content.is_dir():
            return _encode_archive(content, max_length)
        size = content.stat().st_size
        if official and size > _OFFICIAL_PLAIN_LIMIT:
            return _encode_archive(content, max_length)
        # What can't fit is not read at all.
        if size > _capacity(max_length):
            raise _too_large(format_bytes(size), max_length)
        return _encode_plain(content.read_bytes(), max_length)
    except OSError as error:
        raise io_failure(error, "read the inline input", content, COMPONENT) from error


class _Bounded(io.BytesIO):
    """Keeps what is packed, and gives up where it gets too large."""

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self._max_length = max_length

    def write(self, data: Buffer, /) -> int:
        written = super().write(data)
        if self.tell() > _capacity(self._max_length):
            raise _too_large(
                f"more than {format_bytes(_capacity(self._max_length))} packed", self._max_length
            )
        return written


def _encode_plain(data: bytes, max_length: int) -> str:
    if len(data) > _capacity(max_length):
        raise _too_large(format_bytes(len(data)), max_length)
    return encode_data_url(data)


def _encode_archive(path: Path, max_length: int) -> str:
    packed = _Bounded(max_length)
    if path.is_dir():
        pack_into(path, packed)
    else:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar, path.open("rb") as file:
            info = os.fstat(file.fileno())
            member = tarfile.TarInfo(path.name)
            member.size, member.mode = info.st_size, info.st_mode & 0o777
            tar.addfile(member, file)
    return encode_data_url(packed.getvalue(), ARCHIVE_TYPE)


def _capacity(max_length: int) -> int:
    """Return the bytes that fit a data URL of so many characters: base64 turns three into four."""
    return (max_length - len(f"data:{FILE_TYPE};base64,")) // 4 * 3


def _too_large(size: str, max_length: int) -> BadRequest:
    return BadRequest(
        f"the inline input takes {size}, and a job carries at most {format_bytes(_capacity(max_length))}",
        hint="name it as an input that the node reads itself: file://…, https://… or s3://…",
    )


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
