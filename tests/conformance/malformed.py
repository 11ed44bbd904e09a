"""Requests that are not quite HTTP, as bytes; ``{path}`` and ``{head}`` (Host, credentials) are filled in."""

from __future__ import annotations

import asyncio

_JSON = "Content-Type: application/json\r\n"
JOBS = "/api/v1/orchestrator/jobs"
ALIVE = "/api/v1/agent/alive"


def _put(headers: str, body: str = "{}", path: str = JOBS) -> tuple[str, str]:
    return path, "PUT {path} HTTP/1.1\r\n{head}" + _JSON + headers + "\r\n" + body


def _get(
    path: str = ALIVE, headers: str = "", version: str = "HTTP/1.1", head: str = "{head}"
) -> tuple[str, str]:
    return path, "GET {path} " + version + "\r\n" + head + headers + "\r\n"


_HUGE = "9" * 40
_UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
CASES: dict[str, tuple[str, str]] = {
    "two equal lengths": _put("Content-Length: 2\r\nContent-Length: 2\r\n"),
    "two lengths": _put("Content-Length: 2\r\nContent-Length: 3\r\n"),
    "a list of lengths": _put("Content-Length: 2, 2\r\n"),
    "a negative length": _put("Content-Length: -2\r\n"),
    "a hexadecimal length": _put("Content-Length: 0x2\r\n"),
    "a signed length": _put("Content-Length: +2\r\n"),
    "a length with an underscore": _put("Content-Length: 1_0\r\n"),
    "a length in other digits": _put("Content-Length: \u00b2\r\n"),
    "an empty length": _put("Content-Length: \r\n"),
    "a huge length": _put(f"Content-Length: {_HUGE}\r\n"),
    "length and chunks": _put("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "two encodings": _put("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "an unknown encoding": _put("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    "a chunk without a size": _put("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk that goes on": _put("Transfer-Encoding: chunked\r\n", "2\r\n{}xx\r\n0\r\n\r\n"),
    "a negative chunk": _put("Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"),
    "an unknown content encoding": _put("Content-Encoding: br\r\nContent-Length: 2\r\n"),
    "an unknown expectation": _put("Expect: 200-ok\r\nContent-Length: 2\r\n"),
    "a strange content type": _put("Content-Type: ;;;=\u00ff\r\nContent-Length: 2\r\n"),
    "a folded header": _get(headers="X-A: a\r\n b\r\n"),
    "a header without a name": _get(headers=": a\r\n"),
    "a space before the colon": _get(headers="X-A : a\r\n"),
    "a null byte in a header": _get(headers="X-A: a\0b\r\n"),
    "a lone carriage return": _get(headers="X-A: a\rb\r\n"),
    "bytes in a header": _get(f"{JOBS}/nope", headers="X-Request-ID: \u00ff\u00fe\r\n"),
    "bytes in the version header": _get(JOBS, headers="X-Bacalhau-Git-Version: \u00ff\u00fe\r\n"),
    "bytes in the credential": _get(JOBS, headers="Cookie: \u00ff=\u00fe\r\n"),
    "three hundred headers": _get(headers="".join(f"X-{number}: a\r\n" for number in range(300))),
    "an absolute target": ("http://localhost" + ALIVE, "GET http://localhost{path} HTTP/1.1\r\n{head}\r\n"),
    "a broken absolute target": ("", "GET http://[::1{path} HTTP/1.1\r\n{head}\r\n"),
    "an impossible port": ("", "GET http://a:99999999{path} HTTP/1.1\r\n{head}\r\n"),
    "an authority": ("", "CONNECT a:80 HTTP/1.1\r\n{head}\r\n"),
    "a star": ("", "OPTIONS * HTTP/1.1\r\n{head}\r\n"),
    "HTTP/1.0": _get(version="HTTP/1.0"),
    "HTTP/2.0": _get(version="HTTP/2.0"),
    "HTTP/9.9": _get(version="HTTP/9.9"),
    "no host": _get(head=""),
    "two hosts": _get(headers="Host: b\r\n"),
    "a broken host": _get(f"{JOBS}/j-1/results", head="Host: [::1\r\n"),
    "a host with a user": _get(f"{JOBS}/j-1/results", head="Host: a b:x@/\r\n"),
    "a broken percent": _get(f"{JOBS}/%zz"),
    "half a percent": _get(f"{JOBS}/%"),
    "bytes that are no text": _get(f"{JOBS}/%ff%fe"),
    "half a character": _get(f"{JOBS}/%ed%a0%80"),
    "a null byte in the path": _get(f"{JOBS}/%00"),
    "raw bytes in the path": _get(f"{JOBS}/\u00ff\u00fe"),
    "a control in the path": _get(f"{JOBS}/\x01"),
    "a broken query": _get(f"{JOBS}?labels=%zz&namespace=%ff&;;&&=&=a&limit=%"),
    "line feeds only": ("", "GET {path} HTTP/1.1\n{head}\n"),
    "dots": _get("/api/v1/../x"),
    "parameters": _get("/api/v1/..;/"),
    "an unknown method": ("", "FOO-BAR {path} HTTP/1.1\r\n{head}\r\n"),
    "a broken method": ("", "G@T {path} HTTP/1.1\r\n{head}\r\n"),
    "a websocket without a key": _get(f"{JOBS}/a/logs", headers=_UPGRADE + "13\r\n"),
    "a websocket of another version": _get("/api/v1/orchestrator/events", headers=_UPGRADE + "99\r\n"),
    "TLS": ("", "\x16\x03\x01\x00\u00ff junk\r\n\r\n"),
}
"""Name → path and request."""


async def statuses(port: int, prefix: str = "", headers: str = "") -> dict[str, int]:
    """Send every case on a connection of its own; 0 where the connection was closed without an answer."""
    return {name: await _status(port, *case, prefix=prefix, headers=headers) for name, case in CASES.items()}


async def _status(port: int, path: str, request: str, *, prefix: str, headers: str) -> int:
    head = f"Host: 127.0.0.1:{port}\r\n{headers}"
    text = request.replace(
        "{path}", prefix + (path or ALIVE) if not path.startswith("http") else prefix + ALIVE
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text.replace("{head}", head).encode("latin-1"))
        async with asyncio.timeout(60):
            line = await reader.readline()
        return int(line.split()[1]) if line else 0
    except ConnectionError:
        return 0
    finally:
        writer.close()
