"""Source ``urlDownload``: a file from an http or https server.

The target is a *directory*; the file appears in it under the name that the server or the URL gives. With ``File: true``
(ours; official nodes pay no heed to it) the file is the target itself. A server that tells no size is fine (official
nodes refuse it). A URL may not lead to this machine (`transfer.core.reach`), but for links that the node itself signed:
those are read where they lie.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.threads.whole import whole
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount, not_brought
from bacalhau_jupyter.sources.links import Links
from bacalhau_jupyter.transfer.archive.held import archive_size, write_archive
from bacalhau_jupyter.transfer.core.files import io_failure, run_interruptible
from bacalhau_jupyter.transfer.core.taking import take_file
from bacalhau_jupyter.transfer.http.requests import is_strong

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions, StoredFile

COMPONENT = "URLSource"


class UrlDownloadSource:
    """Downloads inputs; reads ``InputSources.ReadTimeout`` and ``InputSources.MaxRetryCount``.

    ReadTimeout bounds the time without a single byte, not the whole download: large inputs may take hours.
    """

    types: tuple[str, ...] = ("urldownload",)

    def __init__(self, options: PluginOptions) -> None:
        self._links = Links(options, COMPONENT)

    async def probe(self) -> Availability:
        return self._links.availability()

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            await self._links.check(self._links.url_of(input_source))
        except BacalhauError as error:
            return not_brought(error)
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return what HEAD says, 0 where it says nothing."""
        url = self._links.url_of(input_source)
        stored = await self._links.stored(url)
        if stored is not None:
            return await asyncio.to_thread(archive_size, stored.path)
        return await self._links.length(url)

    async def identity(self, execution: Execution, input_source: InputSource) -> str | None:
        """Return the URL with the strong ETag that the server gives it; None without one."""
        url = self._links.url_of(input_source)
        if await self._links.stored(url) is not None:
            return None
        identity = _identity(url, await self._links.tag(url))
        return (
            f"{identity}\nfile"
            if identity and parse_truth(input_source.source.param("File", False))
            else identity
        )

    async def fetch(self, request: FetchRequest) -> InputMount:
        url = self._links.url_of(request.input)
        part = request.directory / "download.part"
        stored = await self._links.stored(url)
        if stored is not None:
            return await _taken(stored, part, request, url)
        result = await self._links.download(url, part, request)
        directory = request.directory / "content"
        await whole(_move_in, part, directory, result.filename)
        request.progress(Reading("downloading", result.bytes, result.bytes, 1, 1))
        brought = _identity(url, result.etag) or f"urldownload\n{url}\n"
        return _mount(request, directory, result.filename, brought)

    async def close(self) -> None:
        return


async def _taken(stored: StoredFile, part: Path, request: FetchRequest, url: str) -> InputMount:
    """Bring a file of this node's own store: by its name, without asking ourselves over HTTP."""
    directory = request.directory / "content"
    name = stored.name if stored.is_content else stored.path.name
    try:
        await run_interruptible(
            lambda stop: (
                write_archive(stored.path, part, stop)
                if stored.path.is_dir()
                else take_file(stored.path, part, may_link=stored.is_content, stop=stop)
            )
        )
    except OSError as error:
        raise io_failure(error, "write", part, COMPONENT) from error
    await whole(_move_in, part, directory, name)
    size = (await asyncio.to_thread((directory / name).stat)).st_size
    request.progress(Reading("downloading", size, size, 1, 1))
    return _mount(request, directory, name, f"urldownload\n{url}\n")


def _mount(request: FetchRequest, directory: Path, name: str, identity: str) -> InputMount:
    source = request.input.source
    if parse_truth(source.param("File", False)):
        return InputMount(
            directory / name, request.input.target, read_only=True, identity=f"{identity}\nfile"
        )
    return InputMount(directory, request.input.target, read_only=True, identity=identity)


def _identity(url: str, tag: str) -> str | None:
    return f"urldownload\n{url}\n{tag}" if is_strong(tag) else None


def _move_in(part: Path, directory: Path, filename: str) -> None:
    # Whatever user the job runs as may read it; the directory around keeps others of this host out.
    try:
        directory.mkdir()
        # `mkdir` would let the node's umask take it back.
        directory.chmod(0o755)
        if part.stat().st_mode & 0o444 != 0o444:
            part.chmod(0o644)
        part.rename(directory / filename)
    except OSError as error:
        raise io_failure(error, "write", directory / filename, COMPONENT) from error
