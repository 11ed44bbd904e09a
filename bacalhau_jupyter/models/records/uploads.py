"""Uploads on the wire: content that a client sends to a node ahead of the job that reads it."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX, RESULTS_PATH

FEATURE = "uploads"
"""With this feature a node takes uploads, and brings inputs of type `ARCHIVE`."""

PATH = "/api/v1/orchestrator/uploads"
CONTENT_PATH = f"{PATH}/content"
"""Below it the API serves content: ``<SHA-256>/<file name>``, with a signature as the query."""

ARCHIVE = "urlArchive"
"""Source type of ours: a tar behind a URL, or a part of it, unpacked. Official nodes refuse it by its name."""

UNKNOWN = -1
"""Size of content that is not written yet."""

MAX_NAME = 255
"""Bytes of a file name."""

SIGNATURE = ("expires", "signature")
"""What the query of a link holds (`transfer.core.signing`)."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIGNED_PATH = re.compile(
    rf"{re.escape(CONTENT_PATH)}/[0-9a-f]{{64}}/[^/]+|{re.escape(RESULTS_PATH)}/[\w-]+{re.escape(ARCHIVE_SUFFIX)}",
    re.ASCII,
)


class BeginUpload(Wire):
    """Asks for a place to upload to.

    Attributes
    ----------
    name
        File name under which a job gets the content.
    size
        Bytes; `UNKNOWN` only for what is written on the node's own machine.
    sha256
        What the content has, as lower-case hex digits; empty when the sender does not know. Content that the same
        caller sent before is not sent again, and an upload of it that broke off goes on.
    local
        Whether the caller would write to the node's disk itself.
    fresh
        Whether to begin anew, though an upload of the same content is under way.
    """

    name: str = always("")
    size: int = UNKNOWN
    sha256: str = msgspec.field(default="", name="SHA256")
    local: bool = False
    fresh: bool = False


class UploadState(Wire):
    """How far an upload is.

    Attributes
    ----------
    upload_id
        Names the upload as long as it is not complete.
    offset
        Bytes that the node has: the next range begins there.
    size
        Bytes in all.
    file
        Where to write, for a caller that asked to write to the node's disk itself.
    sha256, url
        Of a complete upload: the hash of what is stored, and the link for specs.
    """

    upload_id: str = ""
    offset: int = always(0)
    size: int = always(UNKNOWN)
    file: str = ""
    sha256: str = msgspec.field(default="", name="SHA256")
    url: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether the content is stored."""
        return bool(self.url)


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 as this API spells it."""
    return _SHA256.fullmatch(text) is not None


def content_path(sha256: str, name: str) -> str:
    """Return the decoded path at which content is served."""
    return f"{CONTENT_PATH}/{sha256}/{name}"


class NodeLink(Wire):
    """A link of a node: where it leads, and with which signature. ``sha256`` or ``execution_id`` is set."""

    path: str = always("")
    query: dict[str, str] = always({})
    sha256: str = msgspec.field(default="", name="SHA256")
    execution_id: str = ""


def without_signature(url: str) -> str:
    """Return a link without what its signer adds anew each time; the rest of it stays."""
    base, _, query = url.partition("?")
    rest = [part for part in query.split("&") if part.partition("=")[0] not in SIGNATURE]
    return f"{base}?{'&'.join(rest)}" if any(rest) else base


def is_signed_link(parts: SplitResult) -> bool:
    """Whether a URL is spelled as nodes spell links to uploads and results, at an API without a path before it.

    At such a path the API answers only to a valid signature, also where the node's own user asks.
    """
    is_plain = _SIGNED_PATH.fullmatch(parts.path) is not None and not parts.path.endswith(("/.", "/.."))
    return (
        is_plain and "%2e" not in parts.path.lower() and set(SIGNATURE) <= dict(parse_qsl(parts.query)).keys()
    )


def parse_link(url: object) -> NodeLink | None:
    """Take apart a link to an upload or to a published archive; None for any other URL. Proves nothing."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        path = unquote(parts.path, errors="strict")
    except ValueError:
        return None
    query = dict(parse_qsl(parts.query))
    _, separator, inside = path.partition(f"{CONTENT_PATH}/")
    if separator:
        sha256 = inside.partition("/")[0]
        return (
            NodeLink(path=f"{CONTENT_PATH}/{inside}", query=query, sha256=sha256)
            if is_sha256(sha256)
            else None
        )
    _, separator, name = path.partition(f"{RESULTS_PATH}/")
    if separator and name.endswith(ARCHIVE_SUFFIX):
        execution_id = name.removesuffix(ARCHIVE_SUFFIX)
        return NodeLink(path=f"{RESULTS_PATH}/{name}", query=query, execution_id=execution_id)
    return None
