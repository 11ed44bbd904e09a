"""Heads of HTTP messages, read strictly: what two programs could read differently is refused, not repaired.

One request travels on a connection, so nothing that follows its body is ever sent on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]", re.IGNORECASE)
_PRINTABLE = re.compile(rb"[\x21-\x7e]+")
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "trailer",
        "upgrade",
        "x-bacalhau-job-id",
    )
)
DEFAULT_PORT = 80
UNTIL_THE_END = -1


class BadRequest(Exception):
    """A head that is not one; the text says why."""


@dataclass(frozen=True)
class Request:
    """What a client asks of the proxy.

    Attributes
    ----------
    tunnel
        Whether it is ``CONNECT``.
    host, port
        Where it wants to go.
    head
        What is sent on; empty for a tunnel.
    length
        Bytes of the body; None where it comes in chunks.
    bodiless
        Whether the answer has no body, whatever it says (``HEAD``).
    """

    tunnel: bool
    host: str
    port: int
    head: bytes = b""
    length: int | None = 0
    bodiless: bool = False


@dataclass(frozen=True)
class Answer:
    """What a server answers.

    Attributes
    ----------
    head
        As the client gets it.
    status
        Below 200 for one that another follows.
    length
        Bytes of the body; None where it comes in chunks, `UNTIL_THE_END` where the connection's end is its end.
    """

    head: bytes
    status: int
    length: int | None


def parse_request(head: bytes, job_id: str) -> Request:
    """Read the head of a request to the proxy, up to and including its empty line.

    Raises
    ------
    BadRequest
        It is not one, or could be read in two ways.
    """
    first, headers = _split(head)
    parts = first.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _PRINTABLE.fullmatch(parts[1]):
        raise BadRequest("the first line is no request")
    method, target, version = parts[0].decode(), parts[1].decode(), parts[2]
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise BadRequest("only HTTP/1.0 and HTTP/1.1 are spoken here")
    if method == "CONNECT":
        host, port = _authority(target, 0)
        return Request(tunnel=True, host=host, port=port)
    if not target.lower().startswith("http://"):
        raise BadRequest("a request to a proxy names the whole URL (http://…); https goes through CONNECT")
    authority, path = _url(target)
    host, port = _authority(authority, DEFAULT_PORT)
    length = _length(headers)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {authority}"]
    dropped = _HOP_BY_HOP | {"host"} | _named(headers)
    kept = [f"{name}: {value}" for name, value in headers if name.lower() not in dropped]
    # Of two Host lines, or one that differs from the URL, only the URL's is sent.
    lines += [*kept, f"X-Bacalhau-Job-ID: {job_id}", "Connection: close"]
    return Request(
        tunnel=False,
        host=host,
        port=port,
        head=("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"),
        length=length,
        bodiless=method == "HEAD",
    )


def rewrite_response(head: bytes, *, bodiless: bool = False) -> Answer:
    """Return the answer to one request, after which the connection ends.

    Raises
    ------
    BadRequest
        It is not one.
    """
    first, headers = _split(head)
    parts = first.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not re.fullmatch(rb"[1-5][0-9]{2}", parts[1]):
        raise BadRequest("the server did not answer in HTTP/1")
    dropped = (_HOP_BY_HOP | _named(headers)) - {"trailer"}
    kept = [f"{name}: {value}" for name, value in headers if name.lower() not in dropped]
    status = int(parts[1])
    if status >= 200:
        kept.append("Connection: close")
    lines = [first.decode("latin-1"), *kept]
    answer = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if bodiless or status < 200 or status in (204, 304):
        return Answer(answer, status, 0)
    framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers)
    return Answer(answer, status, _length(headers) if framed else UNTIL_THE_END)


def chunk_size(line: bytes) -> int:
    """Return the size that a chunk's first line names (with its line end).

    Raises
    ------
    BadRequest
        It names none.
    """
    digits = line.removesuffix(b"\r\n").partition(b";")[0]
    if not line.endswith(b"\r\n") or not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", digits):
        raise BadRequest("the size of a chunk is not a number")
    return int(digits, 16)


def _split(head: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    if not head.endswith(b"\r\n\r\n"):
        raise BadRequest("the head does not end with an empty line")
    first, *lines = head[:-4].split(b"\r\n")
    if any(sign in head.replace(b"\r\n", b"") for sign in (b"\r", b"\n", b"\0")):
        raise BadRequest("a line of the head does not end as it should")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequest("a line of the head is no header")
        headers.append((name.decode(), value.strip(b" \t").decode("latin-1")))
    return first, headers


def _named(headers: list[tuple[str, str]]) -> set[str]:
    """Return the headers that ``Connection`` says are for this hop only; never those that frame the message."""
    listed = ",".join(value for name, value in headers if name.lower() == "connection")
    return {word.strip().lower() for word in listed.split(",")} - {
        "content-length",
        "transfer-encoding",
        "host",
    }


def _length(headers: list[tuple[str, str]]) -> int | None:
    encodings = [value.lower() for name, value in headers if name.lower() == "transfer-encoding"]
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    if encodings and (encodings != ["chunked"] or lengths):
        raise BadRequest("the length of the body can be read in two ways")
    if encodings:
        return None
    if len(lengths) > 1 or (lengths and not re.fullmatch(r"[0-9]{1,15}", lengths[0])):
        raise BadRequest("Content-Length is not one number")
    return int(lengths[0]) if lengths else 0


def _url(target: str) -> tuple[str, str]:
    try:
        parts = urlsplit(target)
        authority = parts.netloc
    except ValueError:
        raise BadRequest("the URL can't be read") from None
    if "@" in authority or "\\" in target or "#" in target:
        raise BadRequest("the URL holds a user name, a fragment or a backslash")
    rest = target[len("http://") + len(authority) :]
    if rest and not rest.startswith(("/", "?")):
        raise BadRequest("the URL can't be read")
    return authority, rest if rest.startswith("/") else f"/{rest}"


def _authority(text: str, default: int) -> tuple[str, int]:
    host, colon, digits = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, digits = text, str(default)
    if not _HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", digits):
        raise BadRequest("it names no host and port")
    port = int(digits)
    if not 0 < port < 65536:
        raise BadRequest("it names no host and port")
    return host.strip("[]"), port
