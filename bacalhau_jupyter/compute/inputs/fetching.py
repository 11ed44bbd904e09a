"""Bringing the inputs of an execution: all at the same time, out of the cache where they are known."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bacalhau_jupyter.compute.execution.events import Fetched
from bacalhau_jupyter.compute.execution.progress import ProgressBoard, SharedProgress
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, StoredInput
from bacalhau_jupyter.compute.execution.telling import ExecutionTeller
from bacalhau_jupyter.compute.files import Places, as_bacalhau_error
from bacalhau_jupyter.compute.inputs.cache import Brought, ContentCache
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, IOFailure
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.plugins.contract import InputMount, Progress
from bacalhau_jupyter.plugins.source import FetchRequest, Source, identity_of

_log = logging.getLogger(__name__)


class Fetcher:
    """Brings inputs.

    Parameters
    ----------
    places
        Where they are brought to.
    plugins
        Has the sources.
    board
        Is told how far it is.
    cache
        Shares inputs between executions.
    teller
        Is told how long each took.
    """

    def __init__(
        self,
        places: Places,
        plugins: Plugins,
        board: ProgressBoard,
        cache: ContentCache,
        teller: ExecutionTeller,
    ) -> None:
        self._teller = teller
        self._places = places
        self._plugins = plugins
        self._board = board
        self._cache = cache

    async def fetch(self, record: ExecutionRecord, inputs: Sequence[InputSource]) -> Fetched:
        """Fetch them; none of them is being fetched any more when this returns or raises."""
        directories = await asyncio.to_thread(self._places.fresh_inputs, record.id, len(inputs))
        self._board.phase(record.id, "fetching inputs")
        shared = SharedProgress(self._board.reporter(record.id), "fetching inputs", len(inputs))
        tasks = [
            asyncio.create_task(self._fetch_told(record, item, directory, shared, index))
            for index, (item, directory) in enumerate(zip(inputs, directories, strict=True))
        ]
        try:
            brought = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        size, files = shared.done
        cached = sum(it.size or 0 for it in brought if it.from_cache)
        return Fetched(
            tuple(StoredInput.of(it.mount) for it in brought),
            *_fetched_in_words(size, files, cached),
        )

    async def _fetch_told(
        self, record: ExecutionRecord, item: InputSource, directory: Path, shared: SharedProgress, index: int
    ) -> Brought:
        started_ns, error = time.time_ns(), ""
        try:
            return await self._fetch_one(record, item, directory, shared, index)
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            self._teller.fetched(record.execution, item.source.type, started_ns, error)

    async def _fetch_one(
        self, record: ExecutionRecord, item: InputSource, directory: Path, shared: SharedProgress, index: int
    ) -> Brought:
        source = self._plugins.source(item.source.type)
        if source is None:
            raise EngineError(f"this node does not support {item.source.type}")

        async def fetch(place: Path, progress: Progress) -> InputMount:
            return await source.fetch(FetchRequest(record.execution, item, place, progress))

        progress = shared.part(index)
        try:
            identity = await self._identity(source, record, item)
            if identity:
                brought = await self._cache.bring(identity, directory, fetch, progress, record.held.disk)
            else:
                brought = Brought(await fetch(directory, progress))
            mount = await asyncio.to_thread(_looked_at, brought.mount, directory)
        except OSError as error:
            raise as_bacalhau_error(error, f"fetching input {_name(item)}") from error
        if brought.from_cache:
            shared.note_cached(brought.size or 0)
            self._board.remark(record.id, f"{format_bytes(shared.cached)} from the cache")
        shared.finish(index, brought.size, brought.files)
        return replace(brought, mount=replace(mount, target=mount.target or item.target))

    async def _identity(self, source: Source, record: ExecutionRecord, item: InputSource) -> str | None:
        if not self._cache.enabled:
            return None
        try:
            return await identity_of(source, record.execution, item)
        except BacalhauError as error:
            # The fetch will say it better, or work all the same.
            _log.debug("execution %s: input %s has no identity: %s", record.id, _name(item), error)
            return None


def _looked_at(mount: InputMount, directory: Path) -> InputMount:
    """Add which object was brought, so that no other one is ever mounted in its place.

    Parameters
    ----------
    directory
        The execution's own, to which no job can write: only what was brought may have links in it.
    """
    if mount.checked is not None:
        return mount
    if mount.path == directory or directory in mount.path.parents:
        inside = mount.path.relative_to(directory)
        path = Path(os.path.realpath(directory)) / inside
    else:
        path = Path(os.path.realpath(mount.path))
    try:
        descriptor = beneath.open_path(path)
    except beneath.Changed as error:
        raise IOFailure("the input is a link, which is never followed", fails_execution=True) from error
    try:
        return replace(mount, path=path, checked=beneath.file_id(descriptor))
    finally:
        os.close(descriptor)


def _fetched_in_words(size: int, files: int, cached: int) -> tuple[str, dict[str, str]]:
    """Say in words and numbers what was fetched; nothing where nothing was."""
    if not size and not files:
        return "", {}
    in_files = f" in {files} files" if files > 1 else ""
    if not cached:
        words = f"fetched inputs: {format_bytes(size)}{in_files}"
    elif cached == size:
        words = f"fetched inputs: {format_bytes(size)}{in_files} from the cache"
    else:
        words = f"fetched inputs: {format_bytes(size)}{in_files}, {format_bytes(cached)} of it from the cache"
    return words, {"Bytes": str(size), "Files": str(files), "CachedBytes": str(cached)}


def _name(item: InputSource) -> str:
    return item.alias or item.target or item.source.type
