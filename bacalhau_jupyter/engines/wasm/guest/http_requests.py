"""The host functions by which modules send HTTP requests: Bacalhau's ``wasi:http/requests``.

One function of twelve numbers: the module says where its URL, headers and body lie in its memory, and where the answer
has room. Made before the process is confined, since looking up names and checking certificates need modules and files
that it can't load later.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import encodings.idna  # noqa: F401 - looked for when a name is looked up
import http.client
import os
import socket
import ssl
import threading
import time
import urllib.parse
from typing import Any

from bacalhau_jupyter.engines.wasm.guest.library import (
    EXTERN_MEMORY,
    I32,
    Callback,
    Extern,
    Library,
    Memory,
    define_function,
)

MODULE, FUNCTION = "wasi:http/requests", "http_request"
ARGUMENTS = 12
TIMEOUT_S = 30.0
MAX_ANSWER, MIN_ANSWER = 100 * 1024 * 1024, 64 * 1024
MAX_SHARE = 0.8
"""Of its memory, how much an answer may take."""
MAX_REDIRECTS = 10
DOOR, LISTENER = "door", "way"
"""The node's socket in the door's directory, and ours, which the node accepts connections from."""
_RETRY_S = 0.2

_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
OK, BAD_URL, NO_NETWORK, TIMED_OUT, NOT_ALLOWED, _TOO_LARGE, BAD_INPUT, NO_MEMORY = range(8)
_DENIED = "error=http_request_denied"
_AGENT = "bacalhau-jupyter"


class _Refused(Exception):
    """The request ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Requests:
    """Answers the requests of one execution.

    Parameters
    ----------
    library
        wasmtime's.
    way
        ``host``: by this host's network; ``door``: by the node's proxy, which decides what is allowed.
    door
        The directory of the node's door.

    Raises
    ------
    OSError
        The socket that the node is handed can't be made.
    """

    def __init__(self, library: Library, way: str, door: str) -> None:
        self._library = library
        self._tls = ssl.create_default_context()
        self._way = _Door(door) if way == "door" else None
        self._callback = Callback(self._called)

    def start(self) -> None:
        """Begin; to be called once the process is confined."""
        if self._way is not None:
            self._way.start()

    def define(self, linker: Any) -> None:
        """Offer the function to modules."""
        define_function(self._library, linker, (MODULE, FUNCTION), (ARGUMENTS, 1), self._callback)

    def _called(
        self, _environment: Any, caller: Any, arguments: Any, _count: int, results: Any, _room: int
    ) -> int:
        numbers = [arguments[index].of.i32 & 0xFFFFFFFF for index in range(ARGUMENTS)]
        try:
            code = self._answer(_Memory(self._library, caller), numbers)
        except _Refused as refused:
            code = refused.code
        except Exception:  # whatever a server or a module does must not end in a callback
            code = NO_NETWORK
        results[0].kind, results[0].of.i32 = I32, code
        return 0

    def _answer(self, memory: _Memory, numbers: list[int]) -> int:
        method, url_at, url_size, headers_at, headers_size, body_at, body_size = numbers[:7]
        if not all(numbers[7:11]):
            return BAD_INPUT
        url = _url(memory.read(url_at, url_size, BAD_URL))
        headers = []
        if headers_at and headers_size:
            with contextlib.suppress(_Refused):
                headers = _headers(memory.read(headers_at, headers_size, BAD_INPUT))
        body = memory.read(body_at, body_size, BAD_INPUT) if body_at and body_size else b""
        word = _METHODS[method] if method < len(_METHODS) else "GET"
        limit = max(MIN_ANSWER, min(MAX_ANSWER, int(memory.size * MAX_SHARE)))
        status, answer_headers, answer = self._follow(word, url, headers, body, limit)
        _hand_over(memory, numbers[7:], status, answer_headers, answer)
        return OK

    def _follow(
        self,
        method: str,
        url: urllib.parse.SplitResult,
        headers: list[tuple[str, str]],
        body: bytes,
        limit: int,
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask, and go where the answer leads; each place is allowed or not by itself."""
        end = time.monotonic() + TIMEOUT_S
        for _ in range(MAX_REDIRECTS):
            status, answered, content = self._ask(method, url, headers, body, limit, end)
            target = next((value for name, value in answered if name.lower() == "location"), "")
            if status not in (301, 302, 303, 307, 308) or not target:
                return status, answered, content
            following = _url(urllib.parse.urljoin(url.geturl(), target).encode())
            if following.netloc != url.netloc:
                headers = [each for each in headers if each[0].lower() not in ("authorization", "cookie")]
            if status < 304 and method not in ("GET", "HEAD"):
                method, body = "GET", b""
            url = following
        raise _Refused(NO_NETWORK)

    def _ask(
        self,
        method: str,
        url: urllib.parse.SplitResult,
        headers: list[tuple[str, str]],
        body: bytes,
        limit: int,
        end: float,
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection, target = self._connection(url, end)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            own_names = {name.lower() for name, _ in headers}
            own = [("Host", url.netloc), ("User-Agent", _AGENT), ("Content-Length", str(len(body)))]
            for name, value in own:
                if name.lower() not in own_names and (
                    body or method not in ("GET", "HEAD") or name != own[2][0]
                ):
                    connection.putheader(name, value)
            for name, value in headers:
                connection.putheader(name, value.encode("utf-8"))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            proxied = answer.getheader("Proxy-Status") or ""
            if self._way is not None and proxied.startswith("bacalhau;"):
                raise _Refused(NOT_ALLOWED if _DENIED in proxied else NO_NETWORK)
            content = bytearray()
            while len(content) < limit and (piece := answer.read1(min(1 << 20, limit - len(content)))):
                content += piece
                if time.monotonic() > end:
                    raise TimeoutError
            return answer.status, answer.getheaders(), bytes(content)
        except TimeoutError:
            raise _Refused(TIMED_OUT) from None
        except (OSError, http.client.HTTPException, ValueError):
            raise _Refused(TIMED_OUT if time.monotonic() > end else NO_NETWORK) from None
        finally:
            connection.close()

    def _connection(
        self, url: urllib.parse.SplitResult, end: float
    ) -> tuple[http.client.HTTPConnection, str]:
        """Return an open connection, and what to ask on it."""
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        left_s = max(end - time.monotonic(), 0.1)
        target = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
        connection = http.client.HTTPConnection(host, port, timeout=left_s)
        try:
            if self._way is None:
                opened = socket.create_connection((host, port), timeout=left_s)
            else:
                opened = self._way.connect(left_s)
                if url.scheme == "https":
                    _tunnel(opened, host, port)
                else:
                    target = f"http://{url.netloc}{target}"
            if url.scheme == "https":
                opened = self._tls.wrap_socket(opened, server_hostname=host)
            connection.sock = opened
        except TimeoutError:
            raise _Refused(TIMED_OUT) from None
        except (OSError, ValueError):
            raise _Refused(NO_NETWORK) from None
        return connection, target


class _Memory:
    """The memory of the module that calls."""

    def __init__(self, library: Library, caller: Any) -> None:
        export = Extern()
        has_memory = library.call("wasmtime_caller_export_get", caller, b"memory", 6, ctypes.byref(export))
        if not has_memory or export.kind != EXTERN_MEMORY:
            raise _Refused(NO_MEMORY)
        context, memory = library.call("wasmtime_caller_context", caller), Memory()
        memory = export.of.memory
        self._start = library.call("wasmtime_memory_data", context, ctypes.byref(memory)) or 0
        self.size: int = library.call("wasmtime_memory_data_size", context, ctypes.byref(memory))

    def read(self, start: int, size: int, otherwise: int) -> bytes:
        if start + size > self.size:
            raise _Refused(otherwise)
        return ctypes.string_at(self._start + start, size)

    def write(self, start: int, content: bytes) -> None:
        if start + len(content) > self.size:
            raise _Refused(NO_MEMORY)
        ctypes.memmove(self._start + start, content, len(content))

    def number(self, start: int) -> int:
        return int.from_bytes(self.read(start, 4, NO_MEMORY), "little")

    def write_number(self, start: int, number: int) -> None:
        self.write(start, number.to_bytes(4, "little"))


class _Door:
    """The way through the node's proxy: it is handed a socket on which we listen, again after each of its starts."""

    def __init__(self, directory: str) -> None:
        # The directories above are closed to the job's user; from inside, their names are not needed.
        os.chdir(directory)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(LISTENER)  # noqa: PTH108 - pathlib is too slow to import here
        self._listener.bind(LISTENER)
        os.chmod(LISTENER, 0o666)  # noqa: PTH101
        self._listener.listen(128)

    def start(self) -> None:
        """Hand the socket over, in the background: what is asked while no node is there waits until one is."""
        threading.Thread(target=self._hand_over, daemon=True).start()

    def connect(self, timeout_s: float) -> socket.socket:
        """Return a connection to the proxy.

        Raises
        ------
        OSError
            Too much waits there already.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        connection.connect(LISTENER)
        return connection

    def _hand_over(self) -> None:
        rights = array.array("i", [self._listener.fileno()])
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as node:
                node.connect(DOOR)
                node.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                node.recv(1)  # ends with the node
            time.sleep(_RETRY_S)


def _tunnel(opened: socket.socket, host: str, port: int) -> None:
    name = f"[{host}]" if ":" in host else host
    opened.sendall(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = opened.recv(1)
        if not piece or len(head) > 65536:
            raise _Refused(NO_NETWORK)
        head += piece
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise _Refused(NOT_ALLOWED if _DENIED.encode() in head else NO_NETWORK)


def _url(text: bytes) -> urllib.parse.SplitResult:
    try:
        url = urllib.parse.urlsplit(text.decode())
        known = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port > 0)
    except ValueError:
        known = False
    if not known or any(char <= 32 or char == 127 for char in text) or url.username is not None:
        raise _Refused(BAD_URL)
    return url


def _headers(text: bytes) -> list[tuple[str, str]]:
    headers = []
    for line in text.decode(errors="replace").split("\n"):
        name, colon, value = line.strip().partition(":")
        if colon and name.strip():
            headers.append((name.strip(), value.strip()))
    return headers


def _hand_over(
    memory: _Memory, places: list[int], status: int, headers: list[tuple[str, str]], content: bytes
) -> None:
    """Write an answer to where the module has room for it, as much as there is room for."""
    headers_at, headers_size_at, body_at, body_size_at, status_at = places
    lines = "\n".join(f"{name}: {value}" for name, value in headers).encode()
    lines, content = lines[: memory.number(headers_size_at)], content[: memory.number(body_size_at)]
    if status_at:
        memory.write_number(status_at, status)
    memory.write_number(headers_size_at, len(lines))
    memory.write_number(body_size_at, len(content))
    memory.write(headers_at, lines)
    memory.write(body_at, content)
