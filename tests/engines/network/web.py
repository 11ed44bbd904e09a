"""A web server on this machine that stands for one of the internet, and the look-up that leads to it."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bacalhau_jupyter.transfer.core.reach import Reach


@contextmanager
def web_server(words: Callable[[http.server.BaseHTTPRequestHandler], str]) -> Iterator[int]:
    """Listen on every address of this machine and answer each request with ``words`` of it; yield the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = words(self).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("", 0), Handler) as it:
        thread = threading.Thread(target=it.serve_forever)
        thread.start()
        yield it.server_port
        it.shutdown()
        thread.join()


def looking_up(port: int, *listed: str) -> Reach:
    """Names of example.com lead to the server, other names where they lead; ``listed`` ones may lead inwards."""

    def lookup(host: str, port_asked: int, **options: Any) -> list[Any]:
        if host.endswith("example.com"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        return list(socket.getaddrinfo(host, port_asked, **options))

    return Reach(listed, lookup=lookup)
