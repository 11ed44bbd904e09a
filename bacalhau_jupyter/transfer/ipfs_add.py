"""A directory to an IPFS node: sent as one multipart form, as `ipfs add -r` does, and never held in memory."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import threading
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from bacalhau_jupyter.lib.trees import MAX_DEPTH, walk
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.transfer.files import CHUNK, Progress, io_failure, no_progress
from bacalhau_jupyter.transfer.ipfs import IpfsNode
from bacalhau_jupyter.transfer.links import ResultLinks
from bacalhau_jupyter.transfer.measuring import measure

# The name that the root has in the form; it is in no CID.
_ROOT = "results"
_FILE, _DIRECTORY, _LINK = "application/octet-stream", "application/x-directory", "application/symlink"


async def add_directory(
    node: IpfsNode,
    directory: Path,
    *,
    aliases: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> str:
    """Add and pin a directory with all it holds, hidden files too; return its CID.

    The CID depends on nothing but names, links and bytes: adding it again pins the same.

    Parameters
    ----------
    aliases
        Absolute paths as the job saw them and their names in the directory, so that absolute links stay whole.

    Raises
    ------
    IOFailure
        An entry can't be read, is a link that points outside, or has a name that is no UTF-8.
    BacalhauError
        The node does not take it; nothing is pinned then.
    """
    boundary = f"bacalhau-{secrets.token_hex(16)}"
    form = _Form(directory, boundary, ResultLinks(directory, aliases or {}, node.component), node.component)
    totals = (None, None) if progress is no_progress else await asyncio.to_thread(measure, directory)
    body = _Body(form, progress, totals)
    try:
        cid = await node.add(body.pieces(), boundary, _ROOT)
    except Exception:
        # aiohttp only knows that the body broke off; this is why.
        if body.failure is not None:
            raise body.failure from None
        raise
    finally:
        await asyncio.to_thread(form.close)
    progress("publishing", form.sent, form.sent, form.files, form.files)
    return cid


class _Body:
    """The form as the pieces of a request body."""

    def __init__(self, form: _Form, progress: Progress, totals: tuple[int | None, int | None]) -> None:
        self._form = form
        self._progress = progress
        self._totals = totals
        self.failure: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield pieces of about `CHUNK`, read in a thread."""
        try:
            while piece := await asyncio.to_thread(self._form.read):
                yield piece
                self._tell()
        except Exception as error:
            self.failure = error
            raise

    def _tell(self) -> None:
        (size, files), form = self._totals, self._form
        size = None if size is None else max(size, form.sent)
        files = None if files is None else max(files, form.files)
        self._progress("publishing", form.sent, size, form.files, files)


class _Form:
    """The parts of the form, made while they are read. Blocking."""

    def __init__(self, root: Path, boundary: str, links: ResultLinks, component: str) -> None:
        self._root = root
        self._boundary = boundary
        self._links = links
        self._component = component
        self._parts = self._every_part()
        # A request that breaks off leaves a read behind in its thread: what is made there can't be closed meanwhile.
        self._lock = threading.Lock()
        self.sent = 0
        self.files = 0

    def read(self) -> bytes:
        """Return the next piece; empty at the end."""
        pieces: list[bytes] = []
        size = 0
        with self._lock:
            for part in self._parts:
                pieces.append(part)
                size += len(part)
                if size >= CHUNK:
                    break
        return b"".join(pieces)

    def close(self) -> None:
        """Close the file that is being read."""
        with self._lock:
            self._parts.close()

    def _every_part(self) -> Generator[bytes, None, None]:
        for name, info in self._walk():
            if stat.S_ISDIR(info.st_mode):
                yield self._header(name, _DIRECTORY) + b"\r\n"
            elif stat.S_ISLNK(info.st_mode):
                yield self._header(name, _LINK) + os.fsencode(self._links.target(name)) + b"\r\n"
            elif stat.S_ISREG(info.st_mode):
                yield self._header(name, _FILE)
                yield from self._contents(name)
                yield b"\r\n"
                self.files += 1
        yield f"--{self._boundary}--\r\n".encode()

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield names relative to the root (itself as ``""``), each directory right before its entries."""
        try:
            for entry in walk(self._root, deepest=MAX_DEPTH):
                yield entry.path, entry.info
        except OSError as error:
            path = Path(error.filename or self._root)
            raise io_failure(error, "read", path, self._component) from error

    def _header(self, name: str, kind: str) -> bytes:
        try:
            filename = quote(f"{_ROOT}/{name}".rstrip("/"), safe="")
        except UnicodeEncodeError as error:
            raise IOFailure(
                f"the results hold the name {os.fsencode(name)!r}, which is no UTF-8: IPFS can't have it",
                hint="rename it in the job, or publish to S3 or locally",
                component=self._component,
            ) from error
        head = (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        return head.encode("ascii")

    def _contents(self, name: str) -> Iterator[bytes]:
        path = self._root / name
        try:
            # A name that becomes a link or a pipe after the walk saw it must neither be followed nor block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise IOFailure(f"{path} changed while it was published", component=self._component)
                while chunk := file.read(CHUNK):
                    self.sent += len(chunk)
                    yield chunk
        except OSError as error:
            raise io_failure(error, "read", path, self._component) from error
