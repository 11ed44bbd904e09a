"""Images made of nothing but bytes, and a registry on a loopback port that gives them, or lies."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.images.platforms import own_platform

Member = tuple[str, bytes | str, dict[str, Any]]
OCI = "application/vnd.oci.image"


def file(name: str, content: bytes = b"", **facts: Any) -> Member:
    """A file of a layer."""
    return name, content, {"type": tarfile.REGTYPE, "mode": 0o644, **facts}


def directory(name: str, **facts: Any) -> Member:
    """A directory of a layer."""
    return name, b"", {"type": tarfile.DIRTYPE, "mode": 0o755, **facts}


def link(name: str, target: str, **facts: Any) -> Member:
    """A symbolic link of a layer; ``type`` makes it another one."""
    return name, target, {"type": tarfile.SYMTYPE, "mode": 0o777, **facts}


def layer(*members: Member) -> bytes:
    """The tar stream of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, facts in members:
            info = tarfile.TarInfo(name)
            for fact, value in facts.items():
                setattr(info, fact, value)
            data = content if isinstance(content, bytes) else b""
            info.linkname = content if isinstance(content, str) else ""
            info.size = len(data) if info.type == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data) if data else None)
    return buffer.getvalue()


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def packed(data: bytes) -> bytes:
    """Compress a layer, always to the same bytes: the usual way, the time of day is in them."""
    return gzip.compress(data, mtime=0)


@dataclass
class Built:
    """An image: its blobs by digest, its manifest, its layers' streams."""

    blobs: dict[str, bytes]
    manifest: bytes
    config: bytes

    @property
    def digest(self) -> str:
        return sha(self.manifest)

    @property
    def image_id(self) -> str:
        return sha(self.config)


def build(
    *layers: bytes,
    pack: Callable[[bytes], bytes] = packed,
    kind: str = "tar+gzip",
    diff_ids: Sequence[str] | None = None,
    **config: Any,
) -> Built:
    """Build an image for this machine; ``config`` replaces members of its configuration."""
    own = own_platform()
    blobs = [pack(stream) for stream in layers]
    described = json.dumps(
        {
            "architecture": own.architecture,
            "os": own.os,
            "config": {"Cmd": ["sh"], "Env": ["A=1"]},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids or map(sha, layers))},
            **config,
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {
                "mediaType": f"{OCI}.config.v1+json",
                "digest": sha(described),
                "size": len(described),
            },
            "layers": [
                {"mediaType": f"{OCI}.layer.v1.{kind}", "digest": sha(data), "size": len(data)}
                for data in blobs
            ],
        }
    ).encode()
    return Built({sha(data): data for data in (*blobs, described)}, manifest, described)


def save(image: Built, directory: Path, name: str = "", *, platform: dict[str, str] | None = None) -> Path:
    """Write an image as an OCI layout; return the directory."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    for digest, data in {**image.blobs, image.digest: image.manifest}.items():
        (blobs / digest.partition(":")[2]).write_bytes(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry: dict[str, Any] = {
        "mediaType": f"{OCI}.manifest.v1+json",
        "digest": image.digest,
        "size": len(image.manifest),
        "annotations": {"org.opencontainers.image.ref.name": name} if name else {},
    }
    if platform:
        entry["platform"] = platform
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return directory


def layers_of(image: Built) -> list[dict[str, Any]]:
    """Return the descriptors of an image's layers."""
    layers: list[dict[str, Any]] = json.loads(image.manifest)["layers"]
    return layers


@dataclass
class Shelf:
    """What a registry holds, and how it behaves.

    Attributes
    ----------
    manifests
        By tag or digest: bytes and media type.
    lies
        Bytes that are given for a path's end instead of the truth.
    stalls
        Ends of paths after whose first bytes nothing comes any more, until `close`.
    trickles
        Ends of paths whose bytes come one by one, until `close`; with ``head:`` before it, those of its head.
    cuts
        Ends of paths that break off in the middle the first time.
    login
        ``user:password``, if one is wanted; ``token`` wants a token for it, which comes with ``padding``.
    asked
        Paths, and the ``Authorization`` that came with each.
    """

    address: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)
    stalls: set[str] = field(default_factory=set)
    trickles: set[str] = field(default_factory=set)
    cuts: set[str] = field(default_factory=set)
    statuses: dict[str, int] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    login: str = ""
    token: str = ""
    realm: str = ""
    padding: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def put(self, image: Built, tag: str = "1", name: str = "x") -> str:
        """Keep an image; return its reference."""
        self.blobs |= image.blobs
        for key in (tag, image.digest):
            self.manifests[key] = (image.manifest, f"{OCI}.manifest.v1+json")
        return f"{self.address}/{name}:{tag}"

    def count(self, end: str) -> int:
        """How often something was asked for."""
        return sum(path.endswith(end) for path, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        shelf, path = self.server.shelf, self.path.partition("?")[0]
        header = self.headers.get("Authorization", "")
        shelf.asked.append((path, header))
        end = path.rpartition("/")[2]
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if f"head:{end}" in shelf.trickles:
                self._trickle(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 8000)
            elif end in shelf.trickles:
                data = shelf.blobs.get(end, b" " * 8000)
                self._head(200, len(data), {})
                self._trickle(data)
            elif path == "/token":
                self._answer(200, json.dumps({"padding": shelf.padding, "token": shelf.token}).encode())
            elif not self._is_let_in(header) and end not in shelf.redirects.values():
                challenge = (
                    f'Bearer realm="{shelf.realm}",service="shelf",scope="repository:x:pull"'
                    if shelf.token
                    else 'Basic realm="shelf"'
                )
                self._answer(401, b"{}", {"WWW-Authenticate": challenge})
            elif end in shelf.statuses:
                self._answer(shelf.statuses[end], b"<html>not for you</html>")
            elif end in shelf.redirects:
                self._answer(307, b"", {"Location": shelf.redirects[end]})
            elif end in shelf.lies:
                self._answer(200, shelf.lies[end])
            elif "/manifests/" in path and end in shelf.manifests:
                data, kind = shelf.manifests[end]
                self._answer(200, data, {"Content-Type": kind})
            elif end in shelf.blobs:
                self._blob(end, shelf.blobs[end])
            else:
                self._answer(404, b"{}")

    def _blob(self, end: str, data: bytes) -> None:
        shelf = self.server.shelf
        if end in shelf.stalls:
            self._head(200, len(data), {})
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            shelf.ended.wait(60)
        elif end in shelf.cuts:
            shelf.cuts.remove(end)
            self._head(200, len(data), {})
            self.wfile.write(data[: len(data) // 2])
        else:
            self._answer(200, data)

    def _trickle(self, data: bytes) -> None:
        for number in range(len(data)):
            self.wfile.write(data[number : number + 1])
            self.wfile.flush()
            if self.server.shelf.ended.wait(0.05):
                return

    def _is_let_in(self, header: str) -> bool:
        shelf = self.server.shelf
        if shelf.token:
            return header == f"Bearer {shelf.token}"
        return not shelf.login or header == f"Basic {base64.b64encode(shelf.login.encode()).decode()}"

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(data), headers or {})
        self.wfile.write(data)

    def _head(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    shelf: Shelf


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[Shelf]:
    """Run a registry."""
    server = _Server(("127.0.0.1", port), _Handler)
    shelf = server.shelf = Shelf(address=f"127.0.0.1:{server.server_address[1]}")
    shelf.realm = f"http://{shelf.address}/token"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield shelf
    finally:
        shelf.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
