"""HTTP/1.1 for many small GETs: connections that are kept, heads written at once, answers parsed without ceremony.

`http.client` brings connections, proxies and bodies; its way with headers (an e-mail parser) costs as much as all the
rest of a small request.
"""

from __future__ import annotations

import base64
import http.client
import io
import queue
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from bacalhau_jupyter.transfer.s3.requests.errors import CONNECT_TIMEOUT_S

if TYPE_CHECKING:
    from bacalhau_jupyter.transfer.core.reach import Reach
    from bacalhau_jupyter.transfer.s3.requests.location import S3Clients

_BUFFER = 64 * 1024
_MAX_LINE = 65536
_MAX_HEADERS = 200
_BODILESS = (204, 304)


class _Buffered:
    """A socket that is read in large pieces: head and body of a small answer come in one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader of the socket."""
        return cast("io.BufferedReader", self._connection.makefile("rb", _BUFFER))


class Answer(http.client.HTTPResponse):
    """The answer to a GET; ``fields`` are its headers by lower-case name."""

    fields: dict[str, str]

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(cast("socket.socket", _Buffered(connection)), method="GET")
        self._connection = connection

    def hang_up(self) -> None:
        """End the connection at once; a thread that reads from it stops waiting."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def begin(self) -> None:
        """Read the head.

        Raises
        ------
        http.client.HTTPException
            It is not one.
        """
        status = self._read_start()
        while 100 <= status < 200:
            self._read_fields()
            status = self._read_start()
        self.fields = self._read_fields()
        self.headers = self.msg = http.client.HTTPMessage()
        self.status = self.code = status
        self.chunked = self.fields.get("transfer-encoding", "").strip().lower() == "chunked"
        self.chunk_left = None
        length = self.fields.get("content-length", "").strip()
        self.length = 0 if status in _BODILESS else None
        if not self.chunked and self.length is None and length.isdecimal():
            self.length = int(length)
        said = self.fields.get("connection", "").lower()
        self.will_close = "keep-alive" not in said if self.version == 10 else "close" in said
        # A body without a length or chunks ends with the connection.
        if not self.chunked and self.length is None:
            self.will_close = True

    def _read_start(self) -> int:
        line = self._line()
        if not line:
            raise http.client.RemoteDisconnected("the server closed the connection without an answer")
        version, _, rest = line.partition(b" ")
        code = rest.lstrip()[:3]
        if not version.startswith(b"HTTP/1.") or not code.isdigit() or len(code) != 3:
            raise http.client.BadStatusLine(repr(line[:80]))
        self.version = 10 if version == b"HTTP/1.0" else 11
        return int(code)

    def _read_fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for _ in range(_MAX_HEADERS):
            line = self._line()
            if line in (b"\r\n", b"\n"):
                return fields
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise http.client.HTTPException("a header without a colon, or the end of the answer")
            fields[name.strip().lower()] = value.strip()
        raise http.client.HTTPException(f"more than {_MAX_HEADERS} headers")

    def _line(self) -> bytes:
        line = bytes(self.fp.readline(_MAX_LINE + 1))
        if len(line) > _MAX_LINE:
            raise http.client.LineTooLong("header line")
        return line


def ask(connection: http.client.HTTPConnection, target: str, headers: Mapping[str, str]) -> Answer:
    """Send a GET on an open connection and read the head of its answer.

    Raises
    ------
    OSError, http.client.HTTPException
        The connection broke, or what came is no HTTP.
    """
    head = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if head.count("\n") != len(headers) + 1 or head.count("\r") != len(headers) + 1:
        raise http.client.HTTPException("a header holds a line break")
    connection.sock.sendall(head.encode("utf-8", "replace") + b"\r\n")
    answer = Answer(connection.sock)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer


class Connections:
    """Connections to one server, directly or through the proxy that the environment names.

    Parameters
    ----------
    base
        URL of the server.
    read_timeout_s
        Seconds without a byte.
    reach
        What the server's name may lead to; None: anywhere.
    """

    def __init__(
        self, clients: S3Clients, base: str, read_timeout_s: float, reach: Reach | None = None
    ) -> None:
        from botocore.httpsession import get_cert_path
        from botocore.utils import get_environ_proxies

        parts = urlsplit(base)
        self.host = parts.netloc
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._name, self._port = parts.hostname or "", parts.port
        self._read_timeout_s = read_timeout_s
        self._reach, self._component = reach, clients.component
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = ssl.create_default_context(cafile=get_cert_path(clients.ca_bundle() or True))
        proxy = get_environ_proxies(base).get(parts.scheme, "")
        self._proxy = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
        self._idle: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()

    def take(self) -> http.client.HTTPConnection:
        """Return a connection that was kept, or a new one."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._connect()

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end."""
        self._idle.put(connection)

    def close(self) -> None:
        """Close what was kept."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def target(self, path: str) -> str:
        """Return what stands in the request line: proxies for plain http want the whole URL."""
        return self.origin + path if self._proxy is not None and self._context is None else path

    def proxy_headers(self) -> dict[str, str]:
        """Return the header that authenticates this client to the proxy."""
        if self._proxy is None or not self._proxy.username:
            return {}
        pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def _connect(self) -> http.client.HTTPConnection:
        name, port = self._name, self._port
        if self._proxy is not None:
            name, port = self._proxy.hostname or "", self._proxy.port or 80
        connection: http.client.HTTPConnection
        if self._reach is not None:
            if self._proxy is None:
                return self._connect_within(self._reach)
            self._check_for_proxy(self._reach)
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                name, port, timeout=CONNECT_TIMEOUT_S, context=self._context
            )
            if self._proxy is not None:
                connection.set_tunnel(self._name, self._port or 443, self.proxy_headers())
        else:
            connection = http.client.HTTPConnection(name, port, timeout=CONNECT_TIMEOUT_S)
        connection.connect()
        connection.sock.settimeout(self._read_timeout_s)
        return connection

    def _connect_within(self, reach: Reach) -> http.client.HTTPConnection:
        """Connect to an address that was judged, directly."""
        port = self._port or (443 if self._context is not None else 80)
        connection = http.client.HTTPConnection(self._name, port)
        raw = reach.connect(self._name, port, CONNECT_TIMEOUT_S, self._component)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                raw = self._context.wrap_socket(raw, server_hostname=self._name)
            raw.settimeout(self._read_timeout_s)
        except BaseException:
            raw.close()
            raise
        connection.sock = raw
        return connection

    def _check_for_proxy(self, reach: Reach) -> None:
        """Check the server's address as far as it is known here: the proxy looks up the name itself."""
        port = self._port or (443 if self._context is not None else 80)
        reach.check_host(self._name, port, self._component)
        with suppress(OSError):
            reach.addresses(self._name, port, self._component)
