"""Source ``urlDownload``: a file from an http or https server.

The target is a *directory*; the file appears in it under the name that the server or the URL gives. A server
that tells no size is fine (official nodes refuse it). A URL may not lead to this machine
(`transfer.core.reach`), but for links that the node itself signed: those are read where they lie.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.progress import Reading
from bacalhau_jupyter.models.spec import InputSource
from bacalhau_jupyter.plugins.fetch_limits import FetchLimits
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount, not_brought
from bacalhau_jupyter.transfer.core.addresses import parse_http_url
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.http.download import content_length, download
from bacalhau_jupyter.transfer.http.requests import content_tag, is_strong

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.contract import Progress
    from bacalhau_jupyter.plugins.options import PluginOptions

COMPONENT = "URLSource"
# A bid waits for it; a slow server's size is not worth more.
_SIZE_TIMEOUT_S = 10.0


class UrlDownloadSource:
    """Downloads inputs; reads ``InputSources.ReadTimeout`` and ``InputSources.MaxRetryCount``.

    ReadTimeout bounds the time without a single byte, not the whole download: large inputs may take hours.
    """

    types: tuple[str, ...] = ("urldownload",)

    def __init__(self, options: PluginOptions) -> None:
        self._settings = options.settings
        self._stored = options.stored

    async def probe(self) -> Availability:
        try:
            self._limits()
            self._reach()
        except ConfigurationError as error:
            return Availability(available=False, problem=error.message)
        return Availability(available=True)

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            url = _url(input_source)
            if await asyncio.to_thread(self._stored, url) is None:
                self._reach().check_url(url, COMPONENT)
        except BacalhauError as error:
            return not_brought(error)
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return what HEAD says, 0 where it says nothing."""
        url = _url(input_source)
        stored = await asyncio.to_thread(self._stored, url)
        if stored is not None:
            return (await asyncio.to_thread(stored.stat)).st_size
        timeout = min(_SIZE_TIMEOUT_S, self._limits().read_timeout_s)
        return await content_length(url, timeout=timeout, reach=self._reach()) or 0

    async def identity(self, execution: Execution, input_source: InputSource) -> str | None:
        """Return the URL with the strong ETag that the server gives it; None without one."""
        url = _url(input_source)
        if await asyncio.to_thread(self._stored, url) is not None:
            return None
        timeout = min(_SIZE_TIMEOUT_S, self._limits().read_timeout_s)
        return _identity(url, await content_tag(url, timeout=timeout, reach=self._reach()))

    async def fetch(self, request: FetchRequest) -> InputMount:
        limits = self._limits()
        url = _url(request.input)
        part = request.directory / "download.part"
        stored = await asyncio.to_thread(self._stored, url)
        if stored is not None:
            return await _copied(stored, part, request, url)
        result = await download(
            url,
            part,
            max_retries=limits.max_retries,
            read_timeout=limits.read_timeout_s,
            progress=_counting(request.progress),
            component=COMPONENT,
            reach=self._reach(),
        )
        directory = request.directory / "content"
        await asyncio.to_thread(_move_in, part, directory, result.filename)
        request.progress(Reading("downloading", result.bytes, result.bytes, 1, 1))
        brought = _identity(url, result.etag) or f"urldownload\n{url}\n"
        return InputMount(directory, request.input.target, read_only=True, identity=brought)

    async def close(self) -> None:
        return

    def _reach(self) -> Reach:
        """Return what URLs may lead to.

        Raises
        ------
        ConfigurationError
            The allow-list is broken.
        """
        return Reach.of(self._settings(ADDRESSES))

    def _limits(self) -> FetchLimits:
        return FetchLimits.of(self._settings, COMPONENT)


async def _copied(stored: Path, part: Path, request: FetchRequest, url: str) -> InputMount:
    """Bring a file of this node's own store: by its name, without asking ourselves over HTTP."""
    directory = request.directory / "content"
    try:
        await asyncio.to_thread(shutil.copyfile, stored, part)
    except OSError as error:
        raise io_failure(error, "write", part, COMPONENT) from error
    await asyncio.to_thread(_move_in, part, directory, stored.name)
    size = (await asyncio.to_thread((directory / stored.name).stat)).st_size
    request.progress(Reading("downloading", size, size, 1, 1))
    return InputMount(directory, request.input.target, read_only=True, identity=f"urldownload\n{url}\n")


def _counting(progress: Progress) -> Progress:
    def report(reading: Reading) -> None:
        progress(replace(reading, files=0, files_total=1))

    return report


def _identity(url: str, tag: str) -> str | None:
    return f"urldownload\n{url}\n{tag}" if is_strong(tag) else None


def _url(input_source: InputSource) -> str:
    return parse_http_url(input_source.source.param("URL"), COMPONENT)


def _move_in(part: Path, directory: Path, filename: str) -> None:
    # Whatever user the job runs as may read it; the directory around keeps others of this host out.
    try:
        directory.mkdir()
        # `mkdir` would let the node's umask take it back.
        directory.chmod(0o755)
        part.chmod(0o644)
        part.rename(directory / filename)
    except OSError as error:
        raise io_failure(error, "write", directory / filename, COMPONENT) from error
