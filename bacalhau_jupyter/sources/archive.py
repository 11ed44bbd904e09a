"""Source ``urlArchive`` (ours): a tar behind a URL, or a file or directory in it, unpacked.

Folders of clients and results of the ``local`` publisher come this way; links that this node signed are read where they
lie. An official node refuses the type by its name, so no job meets an archive where it expects files. A directory's
contents appear in the target, a file *is* the target.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.whole import or_undone, whole
from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.names import from_wire
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.models.records.uploads import ARCHIVE
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount, not_brought
from bacalhau_jupyter.sources.links import Links
from bacalhau_jupyter.transfer.archive.held import HeldArchive, open_archive
from bacalhau_jupyter.transfer.archive.ranges import OpenFileRanges
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from bacalhau_jupyter.transfer.core.entry_names import safe_name
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.readers import ResultEntry

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

COMPONENT = "ArchiveSource"


class UrlArchiveSource:
    """Brings archives; reads ``InputSources.ReadTimeout`` and ``InputSources.MaxRetryCount``.

    Parameters of an input: ``URL``; ``Path`` in the archive (default: all of it); ``LeaveOut``, a name whose entries
    are left out.
    """

    types: tuple[str, ...] = (ARCHIVE.lower(),)

    def __init__(self, options: PluginOptions) -> None:
        self._links = Links(options, COMPONENT)

    async def probe(self) -> Availability:
        return self._links.availability()

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            url = self._links.url_of(input_source)
            _path(input_source)
            await self._links.check(url)
        except BacalhauError as error:
            return not_brought(error)
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return what the part that is wanted takes, where the archive lies here; else the archive's own size."""
        url = self._links.url_of(input_source)
        stored = await self._links.stored(url)
        if stored is not None:
            path = _path(input_source)
            entries = await self._entries(stored.path)
            return sum(each.size for each in entries if not path or f"{each.path}/".startswith(f"{path}/"))
        return await self._links.length(url)

    @staticmethod
    async def _entries(path: Path) -> Sequence[ResultEntry]:
        archive = await _open(path)
        try:
            return await ArchiveReader(archive).entries()
        finally:
            await archive.close()

    async def identity(self, execution: Execution, input_source: InputSource) -> str | None:
        """Name the bytes of an archive that lies here, and the part; None for any other."""
        stored = await self._links.stored(self._links.url_of(input_source))
        if stored is None:
            return None
        source = input_source.source
        return "\n".join(
            ("urlarchive", stored.identity, _path(input_source), str(source.param("LeaveOut", "")))
        )

    async def fetch(self, request: FetchRequest) -> InputMount:
        url, path = self._links.url_of(request.input), _path(request.input)
        stored = await self._links.stored(url)
        part = request.directory / "download.part"
        place = request.directory / "unpacked"
        await whole(place.mkdir)
        try:
            if stored is None:
                await self._links.download(url, part, request)
                request.progress(Reading("unpacking", 0))
            archive = await _open(part if stored is None else stored.path)
            reader = ArchiveReader(archive, name="the input's archive", close=archive.close)
            try:
                leave_out = str(request.input.source.param("LeaveOut", ""))
                # Nothing writes to inputs, so they may be the files of the result themselves.
                await reader.save(place, path, request.progress, leave_out=leave_out, may_link=True)
            finally:
                await reader.close()
            content = request.directory / "content"
            await whole(_settle, place / path if path else place, content)
        except OSError as error:
            raise io_failure(error, "write", place, COMPONENT) from error
        finally:
            await asyncio.to_thread(remove_tree, part)
            if path:
                await asyncio.to_thread(remove_tree, place)
        return InputMount(content, request.input.target, read_only=True)

    async def close(self) -> None:
        return


def _path(input_source: InputSource) -> str:
    text = input_source.source.param("Path", "")
    if not isinstance(text, str):
        raise BadRequest("the Path of an archive is text")
    return safe_name(from_wire(text))


async def _open(path: Path) -> OpenFileRanges | HeldArchive:
    return await or_undone(lambda archive: archive.release(), _opened, path)


def _opened(path: Path) -> OpenFileRanges | HeldArchive:
    try:
        return open_archive(path)
    except OSError as error:
        raise io_failure(error, "read", path, COMPONENT) from error


def _settle(unpacked: Path, content: Path) -> None:
    """Move what was unpacked to its place; whatever user the job runs as may read it."""
    unpacked.rename(content)
    for entry in walk(content):
        mode = stat.S_IMODE(entry.info.st_mode)
        if stat.S_ISDIR(entry.info.st_mode):
            os.chmod(entry.name, mode | 0o755, dir_fd=entry.directory)
        elif stat.S_ISREG(entry.info.st_mode):
            run = 0o111 if mode & 0o100 else 0
            if mode | run == mode and mode & 0o444 == 0o444:
                continue  # perhaps a further name of a file that is nobody's to change
            os.chmod(entry.name, 0o644 | run, dir_fd=entry.directory)
