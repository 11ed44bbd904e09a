"""Which name a downloaded file gets. Names come from strangers: only a base name ever survives."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

FALLBACK_NAME = "download"
"""The name of a file whose URL ends without one."""

_MAX_NAME_BYTES = 255
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
_EXTENDED = re.compile(r"(?:^|;)\s*filename\*\s*=\s*([\w.!#$&+^`|~-]+)'[^']*'([^;\s]+)", re.IGNORECASE)
_QUOTED = re.compile(r'(?:^|;)\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_TOKEN = re.compile(r'(?:^|;)\s*filename\s*=\s*([^;"\s][^;]*)', re.IGNORECASE)


def base_name(text: str) -> str:
    """Return the last part of a path in either slash, without control characters; empty when nothing is left.

    The result is a legal file name: never ``.`` or ``..``, at most 255 bytes, its ending kept.
    """
    name = _UNSAFE.sub("", text).replace("\\", "/").rstrip("/").rpartition("/")[2].strip()
    if name in ("", ".", ".."):
        return ""
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= _MAX_NAME_BYTES:
        return encoded.decode("utf-8")
    stem, dot, ending = encoded.rpartition(b".")
    if not dot or len(ending) > 16:
        return encoded[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    return stem[: _MAX_NAME_BYTES - len(ending) - 1].decode("utf-8", "ignore") + "." + ending.decode("utf-8")


def name_from_disposition(header: str) -> str:
    """Return the base name in a Content-Disposition header (RFC 6266: ``filename*`` wins); empty when none."""
    extended = _EXTENDED.search(header)
    if extended is not None:
        try:
            name = base_name(unquote(extended[2], encoding=extended[1], errors="strict"))
        except (LookupError, UnicodeDecodeError):
            name = ""
        if name:
            return name
    quoted = _QUOTED.search(header)
    if quoted is not None:
        return base_name(re.sub(r"\\(.)", r"\1", quoted[1]))
    token = _TOKEN.search(header)
    return base_name(token[1]) if token is not None else ""


def name_from_url(url: str) -> str:
    """Return the base name of a URL's path; empty when it has none."""
    return base_name(unquote(urlsplit(url).path))


def download_name(final_url: str, disposition: str, redirected: bool) -> str:
    """Return the name for a download, as Bacalhau chooses it.

    Content-Disposition counts only after a redirect; else the final URL's base name; else `FALLBACK_NAME`
    (upstream: a uuid, which no job could know beforehand).
    """
    name = name_from_disposition(disposition) if redirected else ""
    return name or name_from_url(final_url) or FALLBACK_NAME
