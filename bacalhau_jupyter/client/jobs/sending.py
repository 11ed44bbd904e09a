"""How inputs of this machine travel: small ones inside the job, others as uploads, by the disk where it is shared.

A cluster without uploads gets everything inside the job, as far as that goes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.inputs.contents import FileContent
from bacalhau_jupyter.client.inputs.inline import LINK_LIMIT, inline, inline_files
from bacalhau_jupyter.client.inputs.pending import PENDING, PHASE, Content, FileKey, PendingInput
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.nearby import is_near
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.directories import new_directory
from bacalhau_jupyter.lib.threads.files import opened
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict, NetworkFailure, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, replace
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.models.records.uploads import ARCHIVE, FEATURE, BeginUpload, UploadState
from bacalhau_jupyter.transfer.core.files import CHUNK, run_interruptible

INLINE_BUDGET = 512 * 1024
"""Bytes of data inside a job where uploads exist: what links between nodes carry in one message has an end."""

RANGE = 128 * 1024 * 1024
"""Bytes of one request: proxies, and Jupyter servers, take no bodies of any size."""

_ATTEMPTS = 5
_BASE64 = 4 / 3
_BY_DISK = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def has_pending(job: Job) -> bool:
    """Whether an input of a job has not travelled yet."""
    return any(item.source.is_type(PENDING) for item in _inputs(job))


class Sender:
    """Sends the inputs of jobs; remembers which files it sent, so that an unchanged one is not read again."""

    def __init__(self) -> None:
        self._sent: dict[FileKey, str] = {}

    async def resolved(
        self, api: AsyncAPI, info: NodeInfo, job: Job, progress: Progress = no_progress
    ) -> Job:
        """Return a job whose inputs are inside it, or on the node.

        Raises
        ------
        BadRequest
            An input can't be read, changed meanwhile, or is too large for this cluster.
        BacalhauError
            The cluster takes no more uploads, or can't be reached.
        """
        if not has_pending(job):
            return job
        waiting = [item for item in _inputs(job) if item.source.is_type(PENDING)]
        foreign = next((item for item in waiting if not isinstance(item, PendingInput)), None)
        if foreign is not None:
            raise BadRequest(
                f"input {foreign.alias or foreign.target} stands for a file that is not part of this spec",
                hint="give the file itself: -i PATH, in Python inputs=[PATH]",
            )
        inside = self._inside(job, FEATURE in info.features)
        tasks = []
        for task in job.tasks:
            sources = []
            for item in task.input_sources:
                if not isinstance(item, PendingInput):
                    sources.append(item)
                elif id(item) in inside:
                    sources.append(await asyncio.to_thread(_inlined, item))
                else:
                    sources.append(await self._uploaded(api, item, progress))
            tasks.append(replace(task, input_sources=sources))
        return replace(job, tasks=tasks)

    @staticmethod
    def _inside(job: Job, can_upload: bool) -> set[int]:
        """Return which pending inputs travel inside the job: all, or the smallest that fit beside what is there."""
        waiting = [item for item in _inputs(job) if isinstance(item, PendingInput)]
        if not can_upload:
            return {id(item) for item in waiting}
        left = INLINE_BUDGET - sum(_carried(item) for item in _inputs(job))
        chosen = set()
        for item in sorted(waiting, key=lambda each: each.content.size):
            left -= int(item.content.size * _BASE64)
            if left < 0:
                break
            chosen.add(id(item))
        return chosen

    async def _uploaded(self, api: AsyncAPI, item: PendingInput, progress: Progress) -> InputSource:
        state = await self.upload(api, item.content, progress)
        if item.content.is_archive:
            source = SpecConfig(type=ARCHIVE, params={"URL": state.url})
        else:
            source = SpecConfig(type="urlDownload", params={"URL": state.url, "File": True})
        return InputSource(source=source, alias=item.alias, target=item.target)

    async def upload(self, api: AsyncAPI, content: Content, progress: Progress = no_progress) -> UploadState:
        """Bring a content to the node; return its hash and its link there.

        Raises
        ------
        BacalhauError
            As for `resolved`.
        """
        key = content.key()
        sha256 = self._sent.get(key, "") if key is not None else ""
        state = await self._by_disk(api, content, sha256, progress) if is_near(api.endpoint.url) else None
        if state is None:
            state = await self._by_network(api, content, sha256, progress)
        if key is not None and content.key() == key:
            self._sent[key] = state.sha256
        return state

    # ---- over the disk that both see

    async def _by_disk(
        self, api: AsyncAPI, content: Content, sha256: str, progress: Progress
    ) -> UploadState | None:
        """Write to the node's disk; None where that is not this machine's, or not ours to write to."""
        size = content.size if sha256 else -1
        order = BeginUpload(name=content.name, size=size, sha256=sha256, local=True)
        try:
            state = await api.uploads.begin(order)
        except BadRequest:
            return None  # it lets us write nothing to its disk, and wants to know the size
        if state.is_complete:
            return state
        try:
            path = Path(state.file) if state.file else None
            if path is None or not await asyncio.to_thread(_is_ours, path):
                return None
            await run_interruptible(lambda stop: _write(content, path, progress, stop))
            done = await api.uploads.complete(state.upload_id)
            state = UploadState()
            return done
        finally:
            if state.upload_id:
                with suppress(BacalhauError):
                    await asyncio.shield(api.uploads.drop(state.upload_id))

    # ---- over the network

    async def _by_network(
        self, api: AsyncAPI, content: Content, sha256: str, progress: Progress
    ) -> UploadState:
        if isinstance(content, FileContent):
            return await self._send_file(api, content.path, content.name, sha256, progress)
        place = await new_directory("bacalhau-upload-")
        try:
            file = place / "content"
            await asyncio.to_thread(file.touch, 0o600)
            await run_interruptible(lambda stop: _write(content, file, no_progress, stop))
            return await self._send_file(api, file, content.name, sha256, progress)
        finally:
            await asyncio.to_thread(remove_tree, place)

    async def _send_file(
        self, api: AsyncAPI, path: Path, name: str, sha256: str, progress: Progress
    ) -> UploadState:
        """Send a file; what breaks off goes on where the node's bytes end."""
        file = await opened(path)
        try:
            size = os.fstat(file.fileno()).st_size
            sha256 = sha256 or await run_interruptible(partial(_hash, file.fileno()))
            order = BeginUpload(name=name, size=size, sha256=sha256)
            delays, failures, reached = backoff(0.2, 5.0), 0, -1
            while failures < _ATTEMPTS:
                try:
                    state = await api.uploads.begin(order)
                    if not state.is_complete:
                        stop = min(size, state.offset + RANGE)
                        chunks = _chunks(file.fileno(), state.offset, stop, size, progress)
                        state = await api.uploads.send_range(
                            state.upload_id, state.offset, stop, size, chunks
                        )
                    if state.is_complete:
                        return state
                except (NetworkFailure, NotFound):
                    failures += 1
                    if failures == _ATTEMPTS:
                        raise
                except Conflict:
                    # Another kernel sends the same: each goes its own way, and the node keeps one.
                    order, failures = replace(order, fresh=True), failures + 1
                else:
                    order = replace(order, fresh=False)
                    if state.offset > reached:
                        reached = state.offset
                        continue
                    failures += 1
                await asyncio.sleep(next(delays))
        finally:
            await asyncio.to_thread(file.close)
        raise NetworkFailure(f"the upload of {name} broke off {_ATTEMPTS} times", component="Client")


def _inputs(job: Job) -> Iterable[InputSource]:
    return (item for task in job.tasks for item in task.input_sources)


def _carried(item: InputSource) -> int:
    return len(str(item.source.param("URL", ""))) if item.source.is_type("inline") else 0


def _inlined(item: PendingInput) -> InputSource:
    if item.content.size > 8 * LINK_LIMIT:
        raise too_large(item.alias or item.content.name, item.content.size)
    data = item.content.inline()
    try:
        if isinstance(data, bytes):
            return inline(data, item.target, what=item.alias)
        return inline_files(data, item.target, what=item.alias)
    except BadRequest as error:
        raise too_large(item.alias or item.content.name, item.content.size) from error


def too_large(what: str, size: int) -> BadRequest:
    """Return the error for data that a cluster without uploads can't take."""
    return BadRequest(
        f"{what} has {format_bytes(size)}; this cluster takes no uploads, and a job carries "
        f"{format_bytes(int(LINK_LIMIT / _BASE64))} at most",
        hint="put the data where the node can read it: a URL, S3, or an allow-listed path of the node (file://…)",
    )


def check_size(info: NodeInfo, job: Job) -> None:
    """Refuse a job that a cluster without uploads can't pass to its nodes.

    Raises
    ------
    BadRequest
        It is larger than a message between its nodes; the largest input is named.
    """
    if FEATURE in info.features:
        return
    carried = {item.alias or item.target: _carried(item) for item in _inputs(job)}
    if sum(carried.values()) < LINK_LIMIT // 2 or (size := len(encode(job))) <= LINK_LIMIT:
        return
    largest = max(carried, key=lambda name: carried[name])
    raise too_large(f"the job with its inputs, the largest of them {shown(largest)},", int(size / _BASE64))


def _is_ours(path: Path) -> bool:
    """Whether a draft that a node named lies on this machine, and is an empty file of our own user."""
    try:
        descriptor = os.open(path, _BY_DISK)
    except OSError:
        return False
    try:
        info = os.fstat(descriptor)
        plain = stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and info.st_size == 0
        return plain and info.st_uid == os.getuid()
    finally:
        os.close(descriptor)


def _write(content: Content, path: Path, progress: Progress, stop: threading.Event) -> None:
    try:
        content.write(path, progress, stop)
    except OSError as error:
        raise BadRequest(
            f"{content.name} could not be written to {path.parent.parent}: {error.strerror}",
            hint="free some space there, or put the data where the node can read it (a URL, S3, file://…)",
        ) from error


def _hash(descriptor: int, stop: threading.Event) -> str:
    digest, at = hashlib.sha256(), 0
    while not stop.is_set():
        block = os.pread(descriptor, CHUNK, at)
        if not block:
            break
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


async def _chunks(
    descriptor: int, start: int, stop: int, size: int, progress: Progress
) -> AsyncIterator[bytes]:
    at = start
    while at < stop:
        block = await asyncio.to_thread(os.pread, descriptor, min(CHUNK, stop - at), at)
        if not block:
            raise BadRequest("the file became shorter while it was sent")
        yield block
        at += len(block)
        progress(Reading(PHASE, at, size))
