"""Publisher ``local``: results stay on this host as one archive per execution, or as a directory that stands for one.

Large files of a result are not packed: they get another name beside the archive (`transfer.archive.held`), and the
archive is made of them when somebody downloads it.

What is stored with the execution is a reference that never goes stale; the results route turns it into a signed
URL when it is read (`transfer.core.signing`), so a restart on another port a day later changes nothing.

Results are kept by age and by the disk they take together (`publishers.retention`). What was removed is remembered, so
that a link to it is answered with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BadRequest, IOFailure
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX
from bacalhau_jupyter.plugins.publisher import Availability, Bid, PublishRequest
from bacalhau_jupyter.publishers import removals
from bacalhau_jupyter.publishers.removals import Removal
from bacalhau_jupyter.publishers.retention import Kept, Rules
from bacalhau_jupyter.publishers.shelf import discard, kept_in, open_shelf, size_of
from bacalhau_jupyter.transfer.archive.keeping import pack_result, remove_result, sync_result
from bacalhau_jupyter.transfer.core.files import io_failure, run_interruptible
from bacalhau_jupyter.transfer.core.signing import LOCAL, local_reference

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

QUOTA, MAX_AGE, MIN_AGE = (f"Publishers.Types.Local.{name}" for name in ("Quota", "MaxAge", "MinAge"))
DEFAULTS = {QUOTA: 50_000_000_000, MAX_AGE: 0.0, MIN_AGE: 3600.0}

_log = logging.getLogger(__name__)
COMPONENT = "LocalPublisher"
_EXECUTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


class LocalPublisher:
    """Puts results at ``<data_dir>/results/local-publisher/<execution ID>.tar.gz`` (0600 in 0700).

    Reads ``Publishers.Types.Local.Quota``, ``MaxAge`` and ``MinAge``. Results of jobs that are not over, as far as
    ``options.unfinished`` knows, are never removed.
    """

    type = LOCAL

    def __init__(self, options: PluginOptions) -> None:
        self._data_dir = options.data_dir
        self._node_id = options.node_id
        self._clock = options.clock
        self._unfinished = options.unfinished
        self._references = options.results
        self._rules = _rules(options.settings)
        self._usage = DiskUsage(limit=self._rules.quota)
        # No count may run while another call publishes or removes.
        self._counting = asyncio.Lock()
        self._syncing: set[asyncio.Task[None]] = set()

    async def probe(self) -> Availability:
        """Make the directory, and remove what a crash left half written in it."""
        if self._references is not None and self._references.problem:
            return Availability(available=False, problem=self._references.problem)
        try:
            directory = results_directory(self._data_dir)
            for result in await asyncio.to_thread(open_shelf, directory, self._clock.now_ns()):
                self._sync(result)
            await self.tidy()
        except OSError as error:
            failure = io_failure(error, "write to", results_directory(self._data_dir), COMPONENT)
            return Availability(available=False, problem=failure.message)
        return Availability(available=True)

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        execution = request.execution
        target = result_path(self._data_dir, execution.id)
        try:
            await asyncio.to_thread(target.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            before = await asyncio.to_thread(size_of, target)
            gathering = request.gathering(COMPONENT)
            synced = await run_interruptible(partial(pack_result, gathering, target, request.progress))
            await self._settle(target, execution.id, before)
            if not synced:
                self._sync(target)
        except OSError as error:
            raise io_failure(error, "write", target, COMPONENT) from error
        except IOFailure as error:
            raise IOFailure(
                f"the results could not be published: {error.message}", hint=error.hint
            ) from error
        if self._references is not None:
            return self._references.reference(execution.id, self._node_id)
        return local_reference(execution.id, self._node_id)

    def usage(self) -> DiskUsage:
        """Say how much is kept, and how much may be."""
        return self._usage

    async def tidy(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        await self._clean()

    async def clear(self, older_than_s: float) -> DiskUsage:
        """Remove results of finished jobs that were published so many seconds ago; return what is gone."""
        unfinished = set(await self._unfinished())
        now_ns = self._clock.now_ns()
        return await self._clear(
            lambda kept: self._rules.chosen(kept, now_ns, older_than_s, unfinished),
            "the node's owner cleaned up",
        )

    async def remove(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions, whose job is deleted; return what is gone."""
        return await self._clear(
            lambda kept: [each for each in kept if each.execution_id in execution_ids], "its job was deleted"
        )

    async def _clear(self, choose: Callable[[list[Kept]], list[Kept]], reason: str) -> DiskUsage:
        directory = results_directory(self._data_dir)
        async with self._counting:
            kept = await asyncio.to_thread(kept_in, directory)
            gone = choose(kept)
            await asyncio.to_thread(discard, directory, gone, reason, self._clock.now_ns())
            size = sum(each.size for each in gone)
            self._usage = DiskUsage(
                bytes=sum(each.size for each in kept) - size,
                count=len(kept) - len(gone),
                limit=self._rules.quota,
            )
        return DiskUsage(bytes=size, count=len(gone))

    async def close(self) -> None:
        """Wait until what was published is on the disk."""
        await asyncio.gather(*self._syncing)

    def _sync(self, result: Path) -> None:
        """Bring a result to the disk, while others read it already."""
        task = asyncio.create_task(_synced(result))
        self._syncing.add(task)
        task.add_done_callback(self._syncing.discard)

    async def _settle(self, target: Path, execution_id: str, before: int | None) -> None:
        """Count what was just published (in place of ``before`` bytes), and make room for it.

        Raises
        ------
        IOFailure
            All that could be removed does not make room enough; the new result is gone, nothing else is.
        """
        now_ns = self._clock.now_ns()
        await asyncio.to_thread(os.utime, target, ns=(now_ns, now_ns))
        size = await asyncio.to_thread(size_of, target) or 0
        # Adding up will do as long as there is room: looking at thousands of results each time would not.
        usage = replace(
            self._usage,
            bytes=self._usage.bytes + size - (before or 0),
            count=self._usage.count + (before is None),
        )
        if not self._rules.quota or usage.bytes <= self._rules.quota:
            self._usage = usage
            return
        if await self._clean(execution_id):
            return
        await asyncio.to_thread(remove_result, target)
        await self._clean()
        left = self._usage
        raise IOFailure(
            f"{format_bytes(size)} do not fit into the quota of {format_bytes(self._rules.quota)} for local results: "
            f"those of {left.count} other executions take {format_bytes(left.bytes)} and can't be removed yet",
            hint=f"the node's owner can raise it: -c {QUOTA}=…; or publish to s3 or ipfs",
        )

    async def _clean(self, newest: str = "") -> bool:
        """Remove what has to go; False, and nothing is removed for it, when ``newest`` does not fit all the same."""
        directory = results_directory(self._data_dir)
        unfinished = set(await self._unfinished()) | {newest}
        async with self._counting:
            now_ns = self._clock.now_ns()
            kept = await asyncio.to_thread(kept_in, directory)
            old = self._rules.expired(kept, now_ns, unfinished)
            left = [each for each in kept if each not in old]
            surplus = self._rules.surplus(left, now_ns, unfinished)
            stays = sum(each.size for each in left) - sum(each.size for each in surplus)
            fits = not self._rules.quota or stays <= self._rules.quota
            if newest and not fits:
                surplus = []
            await asyncio.to_thread(self._remove, directory, old, surplus, now_ns)
            gone = {*old, *surplus}
            still = [each for each in kept if each not in gone]
            self._usage = DiskUsage(
                bytes=sum(each.size for each in still), count=len(still), limit=self._rules.quota
            )
        return fits

    def _remove(self, directory: Path, old: list[Kept], surplus: list[Kept], now_ns: int) -> None:
        rules = self._rules
        reasons = [
            (old, f"local results are kept for {rules.max_age_s / 86400:g} days ({MAX_AGE})"),
            (surplus, f"local results may take {format_bytes(rules.quota)} ({QUOTA})"),
        ]
        for chosen, reason in reasons:
            discard(directory, chosen, reason, now_ns)


def removal(data_dir: Path, execution_id: str) -> Removal | None:
    """Return how the result of an execution was removed; None when it was not, as far as is known. Blocks."""
    return removals.find(results_directory(data_dir), execution_id)


def mark_read(path: Path, now_ns: int) -> None:
    """Note that a result is being read, so that it stays for a while; one that can't be marked is read anyway."""
    try:
        os.utime(path, ns=(now_ns, path.stat().st_mtime_ns))
    except OSError:
        _log.debug("%s can't be marked as read", path.name)


def results_directory(data_dir: Path) -> Path:
    """Return where a compute node with this directory keeps published results."""
    return data_dir / "results" / "local-publisher"


def result_path(data_dir: Path, execution_id: str) -> Path:
    """Return where the archive of an execution is, or would be.

    Raises
    ------
    BadRequest
        The ID is not one: letters, digits and dashes.
    """
    if not _EXECUTION_ID.fullmatch(execution_id):
        raise BadRequest(f"{execution_id[:80]!r} is not an execution ID")
    return results_directory(data_dir) / f"{execution_id}{ARCHIVE_SUFFIX}"


async def _synced(result: Path) -> None:
    try:
        await asyncio.to_thread(sync_result, result)
    except FileNotFoundError:
        return  # removed meanwhile
    except OSError as error:
        _log.warning("%s could not be brought to the disk: %s", result.name, error)


def _rules(settings: Callable[[str], object]) -> Rules:
    quota, max_age_s, min_age_s = (_number(settings(key), DEFAULTS[key]) for key in (QUOTA, MAX_AGE, MIN_AGE))
    return Rules(int(quota), max_age_s, min_age_s)


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and value >= 0 else default
