"""The files in published results, read without fetching the archive (``api.services.results.ResultFiles``)."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.names import from_wire, shown, to_wire
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIXES
from bacalhau_jupyter.models.wire.api import ResultFile
from bacalhau_jupyter.node.results import Directories, as_local, directory_of, removed, with_received
from bacalhau_jupyter.publishers.shelf import mark_read, result_path
from bacalhau_jupyter.transfer.archive.held import open_archive
from bacalhau_jupyter.transfer.archive.http import HttpRanges, Link
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from bacalhau_jupyter.transfer.core.addresses import parse_http_url
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultReader
from bacalhau_jupyter.transfer.core.signing import LOCAL
from bacalhau_jupyter.transfer.ipfs.results import open_ipfs_result
from bacalhau_jupyter.transfer.s3.requests.access import S3Access

FAR = "urlDownload"
"""The type of a result that lies on the disk of a node elsewhere, behind a link of its own."""
KEPT = 8
"""Results that stay open after they were read."""

COMPONENT = "Results"
_FAR_TIMEOUT_S = 15.0
"""Seconds without a byte of another node."""

Signer = Callable[[SpecConfig, str], SpecConfig]


@dataclass
class _Open:
    """An open result and how many look at it at the moment."""

    reader: ResultReader
    users: int = 0
    dropped: bool = False
    _sizes: dict[str, int] | None = None

    async def sizes(self) -> Mapping[str, int]:
        """Return path → bytes of the files; a preview asks for it with each of its ranges."""
        if self._sizes is None:
            entries = await self.reader.entries()
            self._sizes = {entry.path: entry.size for entry in entries if entry.kind is EntryKind.FILE}
        return self._sizes

    async def named(self, path: str) -> str:
        """Return the file that a name of the listing means (see `models.names`), or one that is spelled as it is.

        Raises
        ------
        NotFound
            The file does not exist.
        """
        sizes = await self.sizes()
        for name in (from_wire(path), path):
            if name in sizes:
                return name
        raise NotFound(f"the result holds no file {shown(path[:200])}")


class NodeResultFiles:
    """Opens results where they were published, with this node's credentials.

    Parameters
    ----------
    data_dir
        The compute role's directory.
    sign
        Signs links to buckets (`node.results.LocalResults.sign`).
    ipfs_endpoint
        Kubo's RPC multiaddress; empty without one.
    clock
        Says when a local result was read.
    s3
        Which S3 servers get this node's credentials; None: all of them.
    received
        Where results lie that nodes elsewhere sent; None where none do.
    others
        Directories of further compute roles in this process.
    reach
        What links to results on other nodes may lead to: the nodes choose them.
    """

    def __init__(
        self,
        data_dir: Path,
        sign: Signer,
        ipfs_endpoint: str,
        clock: Clock,
        s3: S3Access | None = None,
        *,
        received: Path | None = None,
        others: Directories = tuple,
        reach: Reach | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._received = received
        self._others = with_received(others, received)
        self._sign = sign
        self._ipfs_endpoint = ipfs_endpoint
        self._clock = clock
        self._s3 = s3
        self._reach = reach or Reach()
        self._open: OrderedDict[str, _Open] = OrderedDict()

    async def list(self, reference: SpecConfig) -> Sequence[ResultFile]:
        """Return every entry of a result."""
        async with self._opened(reference) as opened:
            return [
                ResultFile(
                    path=to_wire(entry.path),
                    size=entry.size,
                    kind=entry.kind.value,
                    target=to_wire(entry.target),
                )
                for entry in await opened.reader.entries()
            ]

    async def size(self, reference: SpecConfig, path: str) -> int:
        """Return the bytes of one file; raises NotFound if it does not exist."""
        async with self._opened(reference) as opened:
            return (await opened.sizes())[await opened.named(path)]

    async def read(self, reference: SpecConfig, path: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part of one file."""
        async with self._opened(reference) as opened:
            async for chunk in opened.reader.read(await opened.named(path), start, stop):
                yield chunk

    async def close(self) -> None:
        """Let go of everything that is open."""
        opened, self._open = self._open, OrderedDict()
        for each in opened.values():
            await each.reader.close()

    @asynccontextmanager
    async def _opened(self, reference: SpecConfig) -> AsyncIterator[_Open]:
        reference = await asyncio.to_thread(as_local, reference, self._received)
        key = json.dumps([reference.type, reference.params], sort_keys=True, default=str)
        opened = self._open.get(key)
        if opened is not None and reference.is_type(LOCAL):
            path = await asyncio.to_thread(self._path, _execution_id(reference))
            if not await asyncio.to_thread(path.exists):
                # It was removed, though what is open could still be read.
                self._open.pop(key, None)
                await self._let_go(opened)
                opened = None
        if opened is None:
            opened = self._open[key] = _Open(self._reader(reference))
        self._open.move_to_end(key)
        opened.users += 1
        await self._make_room()
        if reference.is_type(LOCAL):
            # Retention keeps a result that is being read, also while it stays open here.
            path = await asyncio.to_thread(self._path, _execution_id(reference))
            await asyncio.to_thread(mark_read, path, self._clock.now_ns())
        try:
            yield opened
        except BaseException:
            # What failed once is opened anew: its archive may be another one by now.
            if self._open.get(key) is opened:
                del self._open[key]
            opened.dropped = True
            raise
        finally:
            opened.users -= 1
            if opened.dropped:
                await self._let_go(opened)

    @staticmethod
    async def _let_go(opened: _Open) -> None:
        """Close what nobody looks at any more; the last one who does closes it."""
        opened.dropped = True
        if not opened.users:
            await opened.reader.close()

    async def _make_room(self) -> None:
        idle = [key for key, each in self._open.items() if not each.users]
        for key in idle[: max(0, len(self._open) - KEPT)]:
            await self._open.pop(key).reader.close()

    def _path(self, execution_id: str) -> Path:
        return result_path(directory_of(execution_id, self._data_dir, self._others), execution_id)

    def _reader(self, reference: SpecConfig) -> ResultReader:
        """Return a reader; beside links of other nodes, only places that this node publishes to itself are asked."""
        if reference.is_type(LOCAL):
            execution_id = _execution_id(reference)
            path = self._path(execution_id)
            if not path.exists():
                data_dir = directory_of(execution_id, self._data_dir, self._others)
                raise removed(data_dir, execution_id) or NotFound(
                    "the result is not on this node any more",
                    hint="It may have been cleaned up; run the job again.",
                    component="LocalPublisher",
                )
            try:
                archive = open_archive(path)
            except OSError as error:
                raise io_failure(error, "read", path, COMPONENT) from error
            return ArchiveReader(archive, close=archive.close)
        if reference.is_type("s3managed") or (
            reference.is_type("s3") and str(reference.param("Key", "")).endswith(ARCHIVE_SUFFIXES)
        ):
            return self._bucket_archive(reference)
        if reference.is_type("s3"):
            from bacalhau_jupyter.transfer.s3.reading.results import open_s3_result

            return open_s3_result(reference, self._s3)
        if reference.is_type("ipfs") and self._ipfs_endpoint:
            return open_ipfs_result(reference, self._ipfs_endpoint)
        if reference.is_type(FAR):
            return self._far_archive(reference)
        raise BadRequest(
            f"this node can't look into results of type {reference.type[:40] or 'none'}",
        )

    def _far_archive(self, reference: SpecConfig) -> ResultReader:
        """Return a reader of single files, which must be all that is fetched: the node may send without an end."""
        url = str(reference.param("URL", ""))
        parse_http_url(url, COMPONENT)

        async def link() -> Link:
            return Link(url)

        ranges = HttpRanges(link, read_timeout_s=_FAR_TIMEOUT_S, reach=self._reach, keeps_whole=False)
        return ArchiveReader(ranges, close=ranges.close)

    def _bucket_archive(self, reference: SpecConfig) -> ResultReader:
        async def link() -> Link:
            signed = await asyncio.to_thread(self._sign, reference, "")
            url = signed.param("URL") or signed.param("PreSignedURL")
            if not url:
                raise BadRequest("this node does not sign links to results in buckets")
            return Link(str(url))

        ranges = HttpRanges(link)
        return ArchiveReader(ranges, close=ranges.close)


def _execution_id(reference: SpecConfig) -> str:
    return str(reference.param("ExecutionID", ""))
