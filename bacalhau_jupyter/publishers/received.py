"""Results that nodes elsewhere send to this one, one archive per execution, by a link that was signed for it.

They lie in a directory of their own, like those of publisher ``local`` (`publishers.shelf`), and are kept by the same
rules, counted apart. An archive is written beside its place, brought to the disk, and gets its name when it is whole:
its sender removes its own copy then. What was sent once is not replaced: the same bytes again are a repetition whose
answer was lost, other bytes are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import logging
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.files import opened
from bacalhau_jupyter.lib.threads.whole import or_undone, whole
from bacalhau_jupyter.models.errors import BadRequest, Conflict, IOFailure, ResourceExhausted
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX, RESULTS_PATH
from bacalhau_jupyter.publishers.keeper import QUOTA, ResultKeeper
from bacalhau_jupyter.publishers.retention import Rules
from bacalhau_jupyter.publishers.shelf import open_shelf, result_path, results_directory, size_of
from bacalhau_jupyter.transfer.archive.keeping import remove_result
from bacalhau_jupyter.transfer.archive.parts import PART
from bacalhau_jupyter.transfer.core.files import CHUNK, io_failure
from bacalhau_jupyter.transfer.core.signing import SENDING, sign, verify
from bacalhau_jupyter.uploads.appending import write_all

COMPONENT = "ManagedPublisher"

TIDY_S = 3600.0
"""Seconds between two looks at what can go."""

_log = logging.getLogger(__name__)


async def _nothing() -> Collection[str]:
    return ()


async def _anything(execution_id: str) -> None:
    return


class ReceivedResults:
    """Takes results of nodes elsewhere; used on one event loop.

    Parameters
    ----------
    data_dir
        Its directory.
    key
        The repo's signing key.
    expiry_s
        Seconds that a link opens for an upload to begin.
    rules
        How long and how much is kept.
    min_free
        Bytes of the disk that stay free.
    free
        Tells the free bytes of the disk of a path; blocks.
    """

    def __init__(
        self,
        data_dir: Path,
        key: bytes,
        expiry_s: float,
        rules: Rules,
        *,
        min_free: int,
        clock: Clock,
        free: Callable[[Path], int],
    ) -> None:
        self._data_dir = data_dir
        self._directory = results_directory(data_dir)
        self._key = key
        self._expiry_s = expiry_s
        self._quota = rules.quota
        self._min_free = min_free
        self._clock = clock
        self._free = free
        self._keeper = ResultKeeper(self._directory, rules, clock, self._unfinished)
        self._coming: dict[str, _Coming] = {}
        self._naming = asyncio.Lock()
        self.needed: Callable[[], Awaitable[Collection[str]]] = _nothing
        """Tells the executions whose results stay; set once the orchestrator is there."""
        self.expected: Callable[[str], Awaitable[None]] = _anything
        """Raises BacalhauError for an execution for which nothing is published any more; set like `needed`."""

    async def start(self) -> None:
        """Make the directory, and remove what a crash left half written in it.

        Raises
        ------
        IOFailure
            The directory can't be used.
        """
        try:
            await asyncio.to_thread(open_shelf, self._directory, self._clock.now_ns())
            await self._keeper.tidy()
        except OSError as error:
            raise io_failure(error, "write to", self._directory, COMPONENT) from error

    async def run(self, interval_s: float = TIDY_S) -> None:
        """Tidy up from time to time, until this is cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self._keeper.tidy()

    def usage(self) -> DiskUsage:
        """Say how much is kept, and how much may be."""
        return self._keeper.usage()

    async def clear(self, older_than_s: float) -> DiskUsage:
        """Remove results of finished jobs that came so many seconds ago; return what is gone."""
        return await self._keeper.clear(older_than_s)

    async def remove(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions, whose job is deleted; return what is gone."""
        return await self._keeper.remove(execution_ids)

    # ---- taking

    def url(self, execution_id: str, base_url: str) -> str:
        """Return a link by which the archive of an execution can be sent.

        Parameters
        ----------
        base_url
            Where the node reaches the API of this one.
        """
        path = f"{RESULTS_PATH}/{result_path(self._data_dir, execution_id).name}"
        until = self._clock.now_ns() // SECOND + max(1, int(self._expiry_s))
        return f"{base_url.rstrip('/')}{quote(path)}?{sign(path, until, self._key, what=SENDING)}"

    def admit(self, name: str, expires: str, signature: str) -> str:
        """Return the execution whose archive a link takes.

        Raises
        ------
        Forbidden
            This node did not sign the link, or its time is over.
        """
        query = {"expires": expires, "signature": signature}
        verify(f"{RESULTS_PATH}/{name}", query, self._key, self._clock.now_ns(), SENDING)
        return name.removesuffix(ARCHIVE_SUFFIX)

    async def take(self, execution_id: str, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Keep the archive of an execution, whose sender announced so many bytes.

        Raises
        ------
        BadRequest
            Another number of bytes comes.
        Conflict, NotFound
            Nothing is published for the execution any more, or it has another result already.
        ResourceExhausted, IOFailure
            There is no room for it.
        """
        target = result_path(self._data_dir, execution_id)
        await self.expected(execution_id)
        if await asyncio.to_thread(size_of, target) not in (None, size):
            raise _has_others(execution_id)
        part = target.with_name(f".{execution_id}-{uuid.uuid4().hex}{PART}")
        with self._announced(execution_id, size) as coming:
            try:
                await self._check_room(coming)
                await self._write(part, size, self._counted(execution_id, coming, chunks))
                async with self._naming:
                    if not await whole(_named, part, target, execution_id):
                        return
                await self._settle(target, execution_id)
            except ConnectionError:
                raise  # the sender's
            except OSError as error:
                raise io_failure(error, "write", target, COMPONENT) from error
            finally:
                await whole(remove_tree, part)

    async def keep(self, execution_id: str, archive: Path) -> None:
        """Take an archive that lies on this disk, as `take` does; the file stays where it is."""
        try:
            size = (await asyncio.to_thread(archive.stat)).st_size
        except OSError as error:
            raise io_failure(error, "read", archive, COMPONENT) from error
        await self.take(execution_id, size, _blocks(archive))

    @contextlib.contextmanager
    def _announced(self, execution_id: str, size: int) -> Iterator[_Coming]:
        """Count the bytes that are to come; a sender that begins anew lets go of what it sent before."""
        others = sum(each.size for name, each in self._coming.items() if name != execution_id)
        if self._quota and others + size > self._quota:
            raise ResourceExhausted(
                f"there is no room for a result of {format_bytes(size)}: results that nodes send may take "
                f"{format_bytes(self._quota)}, and {format_bytes(others)} are on their way",
                hint=f"the orchestrator's owner can raise it: -c {QUOTA}=…",
                status=429 if size <= self._quota else 413,
                retryable=size <= self._quota,
            )
        coming = self._coming[execution_id] = _Coming(size)
        try:
            yield coming
        finally:
            if self._coming.get(execution_id) is coming:
                del self._coming[execution_id]

    async def _counted(
        self, execution_id: str, coming: _Coming, chunks: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            if self._coming.get(execution_id) is not coming:
                raise Conflict(f"another upload of the results of {execution_id} began after this one")
            coming.came += len(chunk)
            yield chunk

    async def _check_room(self, coming: _Coming) -> None:
        free = await asyncio.to_thread(self._free, self._directory)
        if free < sum(each.size - each.came for each in self._coming.values()) + self._min_free:
            raise IOFailure(
                f"there is no room on the orchestrator's disk for a result of {format_bytes(coming.size)}",
                hint="free some space there, or publish to s3 or ipfs",
                status=507,
            )

    async def _write(self, part: Path, size: int, chunks: AsyncIterator[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = await or_undone(os.close, os.open, part, flags, 0o600)
        try:
            came = await write_all(descriptor, chunks, 0, size, "the result")
            if came != size:
                raise BadRequest(f"{came:,} bytes came for the result, and {size:,} were announced")
            # The node removes its own copy when it has the answer.
            await whole(os.fsync, descriptor)
        finally:
            os.close(descriptor)

    async def _settle(self, target: Path, execution_id: str) -> None:
        """Make room for what has its name now; it goes again where its job does not want it any more."""
        try:
            await self._keeper.settle(target, execution_id)
            # Only now: a deletion of the job from here on finds the archive, and removes it.
            await self.expected(execution_id)
        except BaseException:
            await whole(remove_result, target)
            await self._keeper.tidy()
            raise
        _log.info("took the results of execution %s", execution_id)

    async def _unfinished(self) -> Collection[str]:
        return {*await self.needed(), *self._coming}


@dataclass
class _Coming:
    """An upload: the bytes that were announced, and those that came."""

    size: int
    came: int = 0


async def _blocks(file: Path) -> AsyncIterator[bytes]:
    source = await opened(file)
    try:
        while block := await asyncio.to_thread(source.read, CHUNK):
            yield block
    finally:
        source.close()


def _named(part: Path, target: Path, execution_id: str) -> bool:
    """Give a whole archive its name; False where the same one has it already."""
    if not target.exists():
        part.rename(target)
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True
    if not filecmp.cmp(part, target, shallow=False):
        raise _has_others(execution_id)
    return False


def _has_others(execution_id: str) -> Conflict:
    return Conflict(f"execution {execution_id} has published other results already")
