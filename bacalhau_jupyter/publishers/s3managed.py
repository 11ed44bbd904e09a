"""Publisher ``s3managed``: results go where the orchestrator keeps them, by a link that it signs.

That is its bucket, for which this node needs no rights, or its disk.

A signed link wants the length before the first byte, and a gzip archive's is only known when it is packed: this is
the one publisher that writes a second copy, in the execution's own directory, and removes it at once.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import IOFailure, NotImplementedHere
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX
from bacalhau_jupyter.plugins.publisher import Availability, Bid, PublishRequest
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.core.files import io_failure, run_interruptible
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.http.upload import upload_file
from bacalhau_jupyter.transfer.s3.links.managed import COMPONENT, TYPE

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions


class S3ManagedPublisher:
    """Uploads results to wherever the orchestrator says.

    Parameters
    ----------
    sleep
        Waits between the tries of an upload.
    """

    type = TYPE

    def __init__(
        self, options: PluginOptions, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._links = options.upload_links
        self._sleep = sleep
        self._settings = options.settings
        self._is_elsewhere = options.results is not None

    async def probe(self) -> Availability:
        """Ask whether the orchestrator can sign; credentials that are missing may come later."""
        if self._links is None:
            problem = "the orchestrator keeps no results"
            return Availability(available=False, problem=problem)
        problem = await self._links.problem()
        return Availability(available=not problem, problem=problem, may_change=bool(problem))

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        links, execution = self._links, request.execution
        if links is None:
            raise NotImplementedHere("Managed S3 publisher is not available")
        archive: Path | None = None
        try:
            try:
                archive = await run_interruptible(lambda stop: _pack(request, stop))
            except IOFailure as error:
                raise IOFailure(
                    f"the results could not be published: {error.message}",
                    hint=error.hint,
                ) from error
            if not await links.keep(execution.id, archive):
                await upload_file(
                    archive,
                    lambda: links.link(execution.job_id, execution.id),
                    component=COMPONENT,
                    progress=request.progress,
                    sleep=self._sleep,
                    reach=self._reach(),
                )
        finally:
            if archive is not None:
                await asyncio.to_thread(remove_tree, archive)
        return SpecConfig(type=TYPE, params={"JobID": execution.job_id, "ExecutionID": execution.id})

    async def close(self) -> None:
        return

    def _reach(self) -> Reach | None:
        """Return what links may lead to: an orchestrator elsewhere must not reach this machine's services."""
        return Reach.of(self._settings(ADDRESSES)) if self._is_elsewhere else None


def _pack(request: PublishRequest, stop: threading.Event) -> Path:
    """Write the archive beside the results; nothing of it stays when that fails."""
    place = request.directory.parent
    path: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=".managed-", suffix=ARCHIVE_SUFFIX, dir=place)
        path = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            pack_into(request.gathering(COMPONENT), file, progress=request.progress, stop=stop)
    except BaseException as error:
        if path is not None:
            remove_tree(path)
        if isinstance(error, OSError):
            raise io_failure(error, "write below", place, COMPONENT) from error
        raise
    return path
