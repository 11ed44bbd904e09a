"""An HTTP server on a loopback port that takes its time: a download can be caught in the middle."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTENT = bytes(range(256)) * 256
PIECES = 16
PAUSE_S = 0.05
"""Seconds between pieces."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self._head()
        size = len(CONTENT) // PIECES
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(CONTENT), size):
                self.wfile.write(CONTENT[at : at + size])
                self.wfile.flush()
                self.server.closing.wait(PAUSE_S)

    def _head(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("Connection", "close")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.closing = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a client that is killed is what the tests are about."""


class SlowServer:
    """The running server; `sum` is the SHA-256 of the file at `url`."""

    sum = hashlib.sha256(CONTENT).hexdigest()

    def __init__(self) -> None:
        self._server = _Server()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/slow.bin"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Close the port and wait for every thread."""
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
