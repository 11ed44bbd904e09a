"""The answer to plain HTTP where HTTPS is spoken: official clients print the hint, browsers are led to the page."""

from __future__ import annotations

import re

import msgspec

from bacalhau_jupyter.models.errors import BadRequest

HEAD_LIMIT = 64 * 1024
"""Bytes of a request's head that are read."""

_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_TARGET = re.compile(r"/(?!/)[!-~]*")
_PROBLEM = "this address speaks HTTPS, not HTTP"
_HINT = (
    "Use an https:// address; for Bacalhau's clients set API.TLS.UseTLS to true, and API.TLS.CAFile to a copy of the "
    "file with the node's authority."
)


def is_whole_head(data: bytes) -> bool:
    """Whether a request's head has arrived, or is too long to be awaited."""
    return b"\r\n\r\n" in data or b"\n\n" in data or len(data) >= HEAD_LIMIT


def plain_answer(head: bytes) -> bytes:
    """Return the whole answer to a plain request.

    A browser that opens a page is sent to the same address under HTTPS. Nothing else is: a client that follows
    has sent its credential in clear already, and would never notice.
    """
    request, *lines = head.decode("latin-1").replace("\r\n", "\n").partition("\n\n")[0].split("\n")
    method, _, rest = request.partition(" ")
    target = rest.partition(" ")[0]
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if location := _page(method, target, fields):
        return _answer("308 Permanent Redirect", (f"Location: {location}",), b"")
    # As every error of the API.
    body = msgspec.json.encode(BadRequest(_PROBLEM, hint=_HINT, component="APIServer").envelope()) + b"\n"
    return _answer("400 Bad Request", ("Content-Type: application/json",), b"" if method == "HEAD" else body)


def _page(method: str, target: str, fields: dict[str, str]) -> str:
    """Return where the page that a browser opens is; empty for all that is no page."""
    host = fields.get("host", "")
    is_page = method == "GET" and "text/html" in fields.get("accept", "") and "authorization" not in fields
    if not is_page or target.startswith("/api/") or not (_HOST.fullmatch(host) and _TARGET.fullmatch(target)):
        return ""
    return f"https://{host}{target}"


def _answer(status: str, fields: tuple[str, ...], body: bytes) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        *fields,
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body
