"""Wheels built in a test, good and hostile, and an index on loopback that serves them."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path


def record_line(name: str, data: bytes) -> str:
    """Return the line of ``RECORD`` for a file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def make_wheel(
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, bytes] | None = None,
    requires: tuple[str, ...] = (),
    extras: tuple[str, ...] = (),
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    links: Mapping[str, str] | None = None,
    unlisted: Mapping[str, bytes] | None = None,
    wrong_record: bool = False,
) -> tuple[str, bytes]:
    """Return the file name and content of a wheel.

    Parameters
    ----------
    links
        Entries that are symbolic links: name → target.
    unlisted
        Entries that ``RECORD`` does not list.
    wrong_record
        Whether the hashes in ``RECORD`` are wrong.
    """
    info = f"{name}-{version}.dist-info"
    content = dict(files if files is not None else {f"{name}.py": f"VERSION = {version!r}\n".encode()})
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    metadata += "".join(f"Provides-Extra: {each}\n" for each in extras)
    content[f"{info}/METADATA"] = metadata.encode()
    content[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    )
    if scripts:
        lines = "".join(f"{script} = {entry}\n" for script, entry in scripts.items())
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}".encode()
    record = "\n".join(
        record_line(path, b"something else" if wrong_record else data) for path, data in content.items()
    )
    content[f"{info}/RECORD"] = f"{record}\n{info}/RECORD,,\n".encode()
    content |= unlisted or {}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(path, data)
        for path, target in (links or {}).items():
            entry = zipfile.ZipInfo(path)
            entry.create_system = 3
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, target)
    return f"{name}-{version}-{tag}.whl", out.getvalue()


class Index:
    """A simple index (PEP 503) over HTTP.

    Attributes
    ----------
    requests
        Paths that were requested.
    password
        What Basic authentication must carry; empty: nothing.
    cut, hold
        A file whose answer ends half-way, and one whose answer waits for `release`; ``held`` is set then.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.user = self.password = ""
        self.cut = self.hold = ""
        self.held, self._released = threading.Event(), threading.Event()
        self.port = 0

    def release(self) -> None:
        """Let the answer go on that was held."""
        self._released.set()

    def wait(self) -> None:
        """Hold an answer back until `release`."""
        self.held.set()
        self._released.wait(60)

    @property
    def url(self) -> str:
        """The index's URL."""
        return f"http://127.0.0.1:{self.port}/simple"

    def add(self, *made: tuple[str, bytes]) -> None:
        """Offer files."""
        self.files.update(made)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, index: Index, *rest: object) -> None:
        self._index = index
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        index = self._index
        index.requests.append(self.path)
        expected = base64.b64encode(f"{index.user}:{index.password}".encode()).decode()
        if index.password and self.headers.get("Authorization") != f"Basic {expected}":
            self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
            return
        _, _, place, *_ = [*self.path.split("/"), ""]
        if self.path.startswith("/simple/"):
            names = [file for file in index.files if file.partition("-")[0].replace("_", "-") == place]
            page = "".join(
                f'<a href="/files/{file}#sha256={hashlib.sha256(index.files[file]).hexdigest()}">{file}</a>\n'
                for file in names
            )
            self._answer(200 if names else 404, f"<!DOCTYPE html><html><body>{page}</body></html>".encode())
        elif (data := index.files.get(place)) is not None:
            if index.hold == place:
                index.wait()
            self._answer(200, data, {"Content-Type": "application/octet-stream"}, cut=index.cut == place)
        else:
            self._answer(404, b"")

    def _answer(
        self, status: int, data: bytes, headers: Mapping[str, str] | None = None, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        return


@contextlib.contextmanager
def serving(index: Index) -> Iterator[Index]:
    """Serve an index on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, index))
    index.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


def save(made: tuple[str, bytes], directory: Path) -> Path:
    """Write a wheel into a directory."""
    path = directory / made[0]
    path.write_bytes(made[1])
    return path
