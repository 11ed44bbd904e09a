"""An HTTP server on a loopback port that behaves badly on request.

=====================  ===========================================================================================
`/file`                `CONTENT` with its length, an ETag, and ranges
`/file/NAME`           the same under a name of one's own
`/chunked`             `CONTENT` in chunks, without a length
`/redirect`            302 to `/named`, which carries the name `DISPOSITION_NAME`
`/redirect-loop`       302 to itself
`/flaky/KEY`           503 for the first request with this KEY, then `CONTENT`
`/cut/KEY`             the first half of `CONTENT`, then the connection ends; whole, with ranges, from the second on
`/truncated`           declares `len(CONTENT)` bytes, sends half, every time
`/missing`             404 (as is any other path)
`/hostile-name`        ``Content-Disposition: filename="../../evil"``
`/slow`                the first byte, then nothing until the server is closed
`/big/N`               N zero bytes, with their length
=====================  ===========================================================================================
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Bytes that no text mode and no compression survives unnoticed.
CONTENT = bytes(range(256)) * 512
DISPOSITION_NAME = "report 2026.csv"
SLOW_LIMIT = 60.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the requests are recorded on the server."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.record(self.command, self.path, dict(self.headers.items()))
        self.close_connection = True
        route, _, key = path.strip("/").partition("/")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            match route:
                case "file" | "named" | "hostile-name":
                    self._whole(with_body, name=_disposition(route))
                case "chunked":
                    self._chunked(with_body)
                case "redirect" | "redirect-loop":
                    self._redirect("/named" if route == "redirect" else "/redirect-loop")
                case "flaky" if self.server.first(path):
                    self._plain(503, b"try again", {"Retry-After": "0"})
                case "flaky":
                    self._whole(with_body)
                case "cut" if with_body and self.server.first(path):
                    self._half()
                case "cut":
                    self._whole(with_body)
                case "truncated":
                    self._half()
                case "slow":
                    self._slow()
                case "big" if key.isdigit():
                    self._big(int(key), with_body)
                case _:
                    self._plain(404, b"no such file")

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._start(
            status, {"Content-Type": "text/plain", "Content-Length": str(len(body)), **(headers or {})}
        )
        if self.command != "HEAD":
            self.wfile.write(body)

    def _whole(self, with_body: bool, name: str = "") -> None:
        etag = f'"{hashlib.sha256(CONTENT).hexdigest()[:16]}"'
        headers = {"Content-Type": "application/octet-stream", "ETag": etag, "Accept-Ranges": "bytes"}
        if name:
            headers["Content-Disposition"] = f'attachment; filename="{name}"'
        first, status = 0, 200
        byte_range = self.headers.get("Range", "")
        if (
            byte_range.startswith("bytes=")
            and byte_range.endswith("-")
            and self.headers.get("If-Range", etag) == etag
        ):
            first = int(byte_range[len("bytes=") : -1])
            if first >= len(CONTENT):
                self._plain(416, b"", {"Content-Range": f"bytes */{len(CONTENT)}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"
        self._start(status, {**headers, "Content-Length": str(len(CONTENT) - first)})
        if with_body:
            self.wfile.write(CONTENT[first:])

    def _chunked(self, with_body: bool) -> None:
        self._start(200, {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"})
        if not with_body:
            return
        for offset in range(0, len(CONTENT), 10_000):
            piece = CONTENT[offset : offset + 10_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _redirect(self, target: str) -> None:
        self._plain(302, b"", {"Location": target})

    def _half(self) -> None:
        etag = f'"{hashlib.sha256(CONTENT).hexdigest()[:16]}"'
        self._start(200, {"Content-Length": str(len(CONTENT)), "ETag": etag, "Accept-Ranges": "bytes"})
        self.wfile.write(CONTENT[: len(CONTENT) // 2])

    def _slow(self) -> None:
        self._start(200, {"Content-Length": str(len(CONTENT))})
        self.wfile.write(CONTENT[:1])
        self.wfile.flush()
        self.server.closing.wait(SLOW_LIMIT)

    def _big(self, size: int, with_body: bool) -> None:
        self._start(200, {"Content-Length": str(size)})
        zeros = bytes(min(size, 1 << 20))
        while with_body and size > 0:
            size -= self.wfile.write(zeros[:size])


def _disposition(route: str) -> str:
    return {"named": DISPOSITION_NAME, "hostile-name": "../../evil"}.get(route, "")


class _Server(ThreadingHTTPServer):
    # Closing waits for the handlers, so that none is left when a test looks for leaks.
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._asked_times: Counter[str] = Counter()
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def record(self, method: str, path: str, headers: dict[str, str]) -> None:
        with self._lock:
            self.requests.append((method, path, headers))

    def first(self, path: str) -> bool:
        with self._lock:
            self._asked_times[path] += 1
            return self._asked_times[path] == 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: clients that hang up are what the tests are about."""


class BadHttpServer:
    """The running server.

    Attributes
    ----------
    url
        ``http://127.0.0.1:PORT``, without a slash at the end.
    content
        What `/file` holds.
    """

    content = CONTENT
    disposition_name = DISPOSITION_NAME

    def __init__(self) -> None:
        self._server = _Server()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="bad-http-server"
        )
        self._thread.start()

    @property
    def requests(self) -> list[tuple[str, str, dict[str, str]]]:
        """Method, path and headers of every request so far."""
        return list(self._server.requests)

    def close(self) -> None:
        """Release slow handlers, close the port and wait for every thread."""
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
