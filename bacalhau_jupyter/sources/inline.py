"""Source ``inline``: contents that travel in the job's spec as a ``data:`` URL.

Plain contents become a *file* at the target; media type ``application/gzip`` is a tar, which becomes a
*directory* at the target, even when it holds a single file (the official client packs every file larger than
512 bytes, so its job finds it one level down). Our own clients never pack single files.
"""

from __future__ import annotations

import asyncio
import io
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount
from bacalhau_jupyter.transfer.archive.data_urls import DataURL, check_data_url, decode_data_url
from bacalhau_jupyter.transfer.archive.tar_gz import Limits, unpack_blocking
from bacalhau_jupyter.transfer.core.files import io_failure, run_interruptible

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

LIMITS = Limits(max_bytes=1_000_000_000, max_members=100_000)
"""What an inline archive may unpack to; the request that brings it has at most 10 MB."""

COMPONENT = "InlineSource"


class InlineSource:
    """Writes inline contents to disk.

    Parameters
    ----------
    options
        Not needed; every source gets them.
    limits
        What an archive may unpack to.
    """

    types: tuple[str, ...] = ("inline",)

    def __init__(self, options: PluginOptions | None = None, *, limits: Limits = LIMITS) -> None:
        self._limits = limits

    async def probe(self) -> Availability:
        return Availability(available=True)

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            check_data_url(_url(input_source))
        except BacalhauError as error:
            return Bid(accepted=False, reason=f"this node can't bring an input: {error}")
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return the bytes the contents take once unpacked."""
        url = check_data_url(_url(input_source))
        return await asyncio.to_thread(_unpacked_size, url, self._limits)

    async def fetch(self, request: FetchRequest) -> InputMount:
        url = check_data_url(_url(request.input))
        path = await run_interruptible(lambda stop: self._write(url, request, stop))
        return InputMount(path=path, target=request.input.target, read_only=True)

    async def close(self) -> None:
        return

    def _write(self, url: str, request: FetchRequest, stop: threading.Event) -> Path:
        content = decode_data_url(url)
        path = request.directory / "content"
        if content.is_archive:
            unpack_blocking(
                io.BytesIO(content.data),
                path,
                limits=self._limits,
                readable=True,
                progress=request.progress,
                stop=stop,
            )
            return path
        try:
            path.write_bytes(content.data)
            # A data URL carries no permissions, and a script must run by its first line. Whatever user the job
            # runs as may read it; the directory around it keeps others of this host out.
            path.chmod(0o755)
        except OSError as error:
            raise io_failure(error, "write", path, COMPONENT) from error
        request.progress(Reading("writing", len(content.data), len(content.data), 1, 1))
        return path


def _url(input_source: InputSource) -> object:
    return input_source.source.param("URL")


def _unpacked_size(url: str, limits: Limits) -> int:
    content = decode_data_url(url)
    return _gzip_size(content, limits) if content.is_archive else len(content.data)


def _gzip_size(content: DataURL, limits: Limits) -> int:
    """Count what a gzip stream unpacks to, without keeping it."""
    # A tar has headers, too.
    most = limits.max_bytes + limits.max_members * 1024
    total, rest = 0, content.data
    try:
        while rest:
            stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
            while rest and not stream.eof:
                total += len(stream.decompress(rest, 1 << 20))
                rest = stream.unconsumed_tail
                if total > most:
                    raise BadRequest(
                        f"the inline input unpacks to more than {format_bytes(limits.max_bytes)}",
                    )
            rest = stream.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise BadRequest(f"the inline input is not a gzip archive: {error}") from error
    return total
