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

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.names import shown, to_wire
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.core.files import CHUNK, io_failure
from bacalhau_jupyter.transfer.core.gathering import Gathering, Item
from bacalhau_jupyter.transfer.core.job_view import JobView
from bacalhau_jupyter.transfer.core.measuring import measure
from bacalhau_jupyter.transfer.core.readers import EntryKind
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode

# The name that the root has in the form; it is in no CID.
_ROOT = "results"
_FILE, _DIRECTORY, _LINK = "application/octet-stream", "application/x-directory", "application/symlink"


async def add_directory(
    node: IpfsNode,
    directory: Path | Gathering,
    *,
    aliases: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> str:
    """Add and pin a directory with all it holds, hidden files too; return its CID.

    The CID depends on nothing but names, links and bytes: adding it again pins the same.

    Parameters
    ----------
    directory
        What a job left, with the rules of `Gathering`; or a directory all of which is wanted: then whatever can't be
        added is an error, but for sockets, pipes and devices. Names are UTF-8 there: what is not UTF-8 has the form of
        `models.names.to_wire`.
    aliases
        Absolute paths as the job saw them and their names in the directory, so that absolute links stay whole. A
        `Gathering` knows its own.

    Raises
    ------
    IOFailure
        An entry can't be read, or is a link that points outside.
    BacalhauError
        The node does not take it; nothing is pinned then.
    """
    boundary = f"bacalhau-{secrets.token_hex(16)}"
    if isinstance(directory, Path):
        view = JobView(directory, aliases or {})
        directory = Gathering(directory, view, component=node.component, strict=True)
    form = _Form(directory, boundary, node.component)
    totals = (None, None) if progress is no_progress else await asyncio.to_thread(measure, directory.root)
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
    progress(Reading("publishing", form.sent, form.sent, form.files, form.files))
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
        self._progress(Reading("publishing", form.sent, size, form.files, files))


class _Form:
    """The parts of the form, made while they are read. Blocking."""

    def __init__(self, source: Gathering, boundary: str, component: str) -> None:
        self._source = source
        self._boundary = boundary
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
        for item in self._source:
            if item.kind is EntryKind.DIRECTORY:
                yield self._header(item.name, _DIRECTORY) + b"\r\n"
            elif item.kind is EntryKind.LINK:
                yield self._header(item.name, _LINK) + to_wire(item.target).encode() + b"\r\n"
            elif (descriptor := self._source.open(item)) is not None:
                yield self._header(item.name, _FILE)
                yield from self._contents(item, descriptor)
                yield b"\r\n"
                self.files += 1
        yield f"--{self._boundary}--\r\n".encode()

    def _header(self, name: str, kind: str) -> bytes:
        filename = quote(f"{_ROOT}/{to_wire(name)}".rstrip("/"), safe="")
        head = (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        return head.encode("ascii")

    def _contents(self, item: Item, descriptor: int) -> Iterator[bytes]:
        try:
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise IOFailure(
                        f"{shown(item.name)} changed while it was published",
                        component=self._component,
                        retryable=True,
                    )
                while chunk := file.read(CHUNK):
                    self.sent += len(chunk)
                    yield chunk
        except OSError as error:
            raise io_failure(error, "read", self._source.root / item.name, self._component) from error
