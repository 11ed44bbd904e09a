"""A request as policies see it: ``input.http`` and ``input.constraints``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# The official server takes them out of the headers.
_TAKEN_OUT = frozenset({"host", "transfer-encoding", "trailer"})


@dataclass(frozen=True)
class HttpRequest:
    """What an authorization policy gets to know about a request.

    Attributes
    ----------
    host
        As the caller wrote it, with its port.
    path
        Decoded.
    query
        As it stands in the URL.
    headers
        Name and value, in order.
    """

    host: str
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def to_plain(self) -> dict[str, object]:
        """Return ``input.http``."""
        return {
            "host": _text(self.host),
            "method": self.method,
            "path": _text(self.path).lstrip("/").split("/"),
            "query": _query(self.query),
            "headers": _headers(self.headers),
            "body": self.body.decode("utf-8", "replace"),
        }


def _query(text: str) -> dict[str, list[str]]:
    """Return parameters as Go reads them: what it can't read is left out."""
    values: dict[str, list[str]] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if pair and ";" not in pair and _decodes(name) and _decodes(value):
            values.setdefault(_unquoted(name), []).append(_unquoted(value))
    return values


def _decodes(text: str) -> bool:
    return all(len(part) > 1 and _is_hex(part[:2]) for part in text.split("%")[1:])


def _is_hex(text: str) -> bool:
    return all(each in "0123456789abcdefABCDEF" for each in text)


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def _headers(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower() not in _TAKEN_OUT:
            values.setdefault(_canonical(name), []).append(_text(value))
    return values


def _canonical(name: str) -> str:
    """Return a header's name as Go spells it: ``x-request-id`` → ``X-Request-Id``."""
    if not _TOKEN.issuperset(name):
        return _text(name)
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _text(value: str) -> str:
    """Return text that JSON can hold: bytes that are not UTF-8 arrive as surrogates."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
