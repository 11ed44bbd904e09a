"""Results in a bucket, read with the client's own AWS credentials: file by file, or ranges of one archive.

Every request insists on the ETag that was seen first, so nothing is ever put together from two versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.directories import new_directory
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.transfer.core.files import CHUNK, io_failure, run_interruptible
from bacalhau_jupyter.transfer.core.layout import merge_results
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry, ResultReader
from bacalhau_jupyter.transfer.s3.reading.download import download_objects
from bacalhau_jupyter.transfer.s3.reading.get import Getter
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object, find_objects, is_listing, local_names
from bacalhau_jupyter.transfer.s3.requests.access import S3Access
from bacalhau_jupyter.transfer.s3.requests.http import Answer
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location, parse_location

COMPONENT = "S3Downloader"

_RETRIES = 5


def open_s3_result(spec: SpecConfig, access: S3Access | None = None) -> ResultReader:
    """Return a reader of results that were published file by file; nothing is asked before it is used.

    Parameters
    ----------
    spec
        An ``s3`` result whose key ends with ``/``.
    access
        Which servers get credentials; None: all of them.

    Raises
    ------
    BadRequest
        It says no place.
    """
    location = parse_location(spec.params, COMPONENT)
    if not is_listing(location.key):
        location = replace(location, key=location.key + "/")
    return _Results(location, access)


class S3Ranges:
    """One object, such as an archive, in ranges.

    Parameters
    ----------
    spec
        An ``s3`` result; its version counts where it names one.
    access
        Which servers get credentials; None: all of them.
    """

    def __init__(self, spec: SpecConfig, access: S3Access | None = None) -> None:
        self.location = parse_location(spec.params, COMPONENT)
        self._bucket = _Bucket(self.location, access)
        self._lock = asyncio.Lock()
        self._item: S3Object | None = None

    async def size(self) -> int:
        """Return the object's length.

        Raises
        ------
        BacalhauError
            It is not there, or can't be read.
        """
        return (await self._archive()).size

    def read(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (excluded; None: to the end); a cut connection goes on."""
        return self._read(start, stop)

    async def _read(self, start: int, stop: int | None) -> AsyncIterator[bytes]:
        async with aclosing(self._bucket.stream(await self._archive(), start, stop)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def close(self) -> None:
        """Release connections."""
        await self._bucket.close()

    async def _archive(self) -> S3Object:
        async with self._lock:
            if self._item is None:
                objects = await self._bucket.find()
                if len(objects) != 1 or objects[0].key != self.location.key:
                    raise NotFound(f"could not read {self.location}: it is a directory")
                self._item = objects[0]
            return self._item


class _Bucket:
    """A place in S3, asked from an event loop."""

    def __init__(self, location: S3Location, access: S3Access | None) -> None:
        self.location = location
        self.clients = S3Clients(COMPONENT, access=access)
        self._getter: Getter | None = None

    async def find(self) -> list[S3Object]:
        return await run_interruptible(lambda stop: find_objects(self.clients, self.location, stop=stop))

    async def stream(self, item: S3Object, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
        """Yield bytes of an object; what comes resets the patience with a server that hangs up."""
        position, end = max(0, start), item.size if stop is None else min(stop, item.size)
        tries, delays = 0, backoff(0.2, 5.0)
        while position < end:
            before = position
            failure: BacalhauError | None = None
            try:
                async with aclosing(self._once(item, position, end)) as chunks:
                    async for chunk in chunks:
                        position += len(chunk)
                        yield chunk
            except BacalhauError as error:
                if not error.retryable:
                    raise
                failure = error
            if position >= end:
                return
            if position > before:
                tries, delays = 0, backoff(0.2, 5.0)
            tries += position == before
            if tries > _RETRIES:
                raise failure or NetworkFailure(
                    f"could not read s3://{self.location.bucket}/{item.key}: the connection ended at byte {position}",
                    retryable=True,
                )
            await asyncio.sleep(next(delays))

    async def _once(self, item: S3Object, first: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield what one connection brings."""
        if self._getter is None:
            self._getter = await asyncio.to_thread(Getter, self.clients, self.location)
        whole = first == 0 and end == item.size
        opened = self._getter.open(item) if whole else self._getter.open(item, first, end - 1)
        answer = await _enter(opened)
        try:
            left = end - first
            while left:
                try:
                    chunk = await _read_some(answer, min(CHUNK, left))
                except (OSError, HTTPException):
                    return
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk
        finally:
            # Closes a connection that still holds bytes, and never waits.
            opened.__exit__(None, None, None)

    async def close(self) -> None:
        if self._getter is not None:
            await asyncio.to_thread(self._getter.close)
        await asyncio.to_thread(self.clients.close)


async def _enter(opened: AbstractContextManager[Answer]) -> Answer:
    """Enter in a thread; a cancelled caller leaves nothing open."""
    future = asyncio.get_running_loop().run_in_executor(None, opened.__enter__)

    def leave(done: asyncio.Future[Answer]) -> None:
        if not done.cancelled() and done.exception() is None:
            opened.__exit__(None, None, None)

    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(leave)
        raise


async def _read_some(answer: Answer, count: int) -> bytes:
    """Read in a thread; a cancelled caller ends the connection, and with it the thread's wait."""
    future = asyncio.get_running_loop().run_in_executor(None, answer.read, count)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        answer.hang_up()
        await asyncio.wait([future])
        future.exception()
        raise


class _Results:
    """Results below a prefix (`readers.ResultReader`)."""

    def __init__(self, location: S3Location, access: S3Access | None) -> None:
        self._bucket = _Bucket(location, access)
        self._location = location
        self._lock = asyncio.Lock()
        self._items: dict[str, S3Object] | None = None

    async def entries(self) -> Sequence[ResultEntry]:
        result_entries = [ResultEntry(path, item.size) for path, item in (await self._listed()).items()]
        parents = {
            path[:at]
            for path in (entry.path for entry in result_entries)
            for at, sign in enumerate(path)
            if sign == "/"
        }
        result_entries += [ResultEntry(path, kind=EntryKind.DIRECTORY) for path in parents]
        return sorted(result_entries, key=lambda entry: entry.path.split("/"))

    def read(self, path: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        return self._read(path, start, stop)

    async def _read(self, path: str, start: int, stop: int | None) -> AsyncIterator[bytes]:
        item = (await self._listed()).get(path)
        if item is None:
            raise self._missing(path)
        async with aclosing(self._bucket.stream(item, start, stop)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def save(self, target: Path, path: str = "", progress: Progress = no_progress) -> None:
        chosen = _chosen(await self._listed(), path)
        if not chosen:
            raise self._missing(path)
        part: Path | None = None
        try:
            part = await new_directory(".bacalhau-get-", target)
            await self._download(chosen, part, progress)
            await asyncio.to_thread(merge_results, [part], target)
        except OSError as error:
            raise io_failure(error, "write to", target, COMPONENT) from error
        finally:
            if part is not None:
                await asyncio.to_thread(remove_tree, part)

    async def close(self) -> None:
        await self._bucket.close()

    async def _download(self, chosen: Mapping[str, S3Object], directory: Path, progress: Progress) -> None:
        names = {item.key: path for path, item in chosen.items()}
        await run_interruptible(
            lambda stop: download_objects(
                self._bucket.clients,
                self._location,
                list(chosen.values()),
                names,
                directory,
                progress=progress,
                stop=stop,
            )
        )

    async def _listed(self) -> dict[str, S3Object]:
        """Return the files by path; listed once."""
        async with self._lock:
            if self._items is None:
                objects = await self._bucket.find()
                names = local_names(self._location, (item.key for item in objects), COMPONENT)
                self._items = {names[item.key]: item for item in objects}
            return self._items

    def _missing(self, path: str) -> NotFound:
        return NotFound(
            f"there is no {path[:200]} in the results at {self._location}",
            hint="list what is there; paths are relative, without a slash at the start",
        )


def _chosen(items: Mapping[str, S3Object], path: str) -> dict[str, S3Object]:
    if not path:
        return dict(items)
    below = path.rstrip("/") + "/"
    return {name: item for name, item in items.items() if name == path or name.startswith(below)}
