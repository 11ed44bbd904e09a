"""Publisher ``local``: results stay on this host as one archive per execution, or as a directory that stands for one.

Large files of a result are not packed: they get another name beside the archive (`transfer.archive.held`), and the
archive is made of them when somebody downloads it.

What is stored with the execution is a reference that never goes stale; the results route turns it into a signed
URL when it is read (`transfer.core.signing`), so a restart on another port a day later changes nothing.

Results are kept by age and by the disk they take together (`publishers.keeper`). What was removed is remembered, so
that a link to it is answered with the reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.plugins.publisher import Availability, Bid, PublishRequest
from bacalhau_jupyter.publishers.keeper import ResultKeeper, rules_of
from bacalhau_jupyter.publishers.shelf import open_shelf, result_path, results_directory
from bacalhau_jupyter.transfer.archive.keeping import pack_result, sync_result
from bacalhau_jupyter.transfer.core.files import io_failure, run_interruptible
from bacalhau_jupyter.transfer.core.signing import LOCAL, local_reference

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

_log = logging.getLogger(__name__)
COMPONENT = "LocalPublisher"


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
        self._references = options.results
        self._keeper = ResultKeeper(
            results_directory(options.data_dir), rules_of(options.settings), options.clock, options.unfinished
        )
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
            gathering = request.gathering(COMPONENT)
            synced = await run_interruptible(partial(pack_result, gathering, target, request.progress))
            await self._keeper.settle(target, execution.id)
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
        return self._keeper.usage()

    async def tidy(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        await self._keeper.tidy()

    async def clear(self, older_than_s: float) -> DiskUsage:
        """Remove results of finished jobs that were published so many seconds ago; return what is gone."""
        return await self._keeper.clear(older_than_s)

    async def remove(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions, whose job is deleted; return what is gone."""
        return await self._keeper.remove(execution_ids)

    async def close(self) -> None:
        """Wait until what was published is on the disk."""
        await asyncio.gather(*self._syncing)

    def _sync(self, result: Path) -> None:
        """Bring a result to the disk, while others read it already."""
        task = asyncio.create_task(_synced(result))
        self._syncing.add(task)
        task.add_done_callback(self._syncing.discard)


async def _synced(result: Path) -> None:
    try:
        await asyncio.to_thread(sync_result, result)
    except FileNotFoundError:
        return  # removed meanwhile
    except OSError as error:
        _log.warning("%s could not be brought to the disk: %s", result.name, error)
