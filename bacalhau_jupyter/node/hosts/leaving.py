"""Removing a host: its jobs are waited for, cancelled, or left to themselves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.lib.problems import Problems, sentence
from bacalhau_jupyter.models.errors import BacalhauError, Conflict, NotFound
from bacalhau_jupyter.models.jobs.job import JobType
from bacalhau_jupyter.models.records.host_orders import Leaving
from bacalhau_jupyter.models.records.hosts import HostRecord, HostState
from bacalhau_jupyter.node.hosts.host import Host
from bacalhau_jupyter.node.hosts.naming import COMPONENT

log = logging.getLogger(__name__)

END_S = 30.0
"""Seconds that executions may take to stop when a host is removed."""


class Departures:
    """Hosts on their way out.

    Parameters
    ----------
    gone
        Called when a host has no jobs any more, before its compute node is forgotten.
    forget
        Makes the orchestrator forget a node.
    stop
        Stops a job, for a reason, wherever it runs.
    problems
        Where it is shown that a host can't be removed.
    """

    def __init__(
        self,
        gone: Callable[[Host], Awaitable[None]],
        forget: Callable[[str], Awaitable[None]],
        stop: Callable[[str, str], Awaitable[object]],
        problems: Problems,
    ) -> None:
        self._gone = gone
        self._forget = forget
        self._stop = stop
        self._problems = problems
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def check(self, host: Host, leaving: Leaving) -> None:
        """Refuse a removal that would surprise somebody.

        Raises
        ------
        Conflict
            Jobs run there, and nobody said what becomes of them; or they can't be cancelled now; or it is not known yet
            which there are.
        """
        if host.node is None and leaving in (Leaving.ASK, Leaving.CANCEL):
            raise Conflict(
                f"which jobs are on host {host.name} is not known yet: {host.trouble or 'its node is being started'}",
                hint="try again later, or say what becomes of them: --jobs wait or --jobs leave",
                retryable=True,
                component=COMPONENT,
            )
        count = 0 if host.node is None else len(host.node.live())
        jobs = f"{count} job{'s' if count > 1 else ''}"
        if count and leaving is Leaving.ASK:
            raise Conflict(
                f"{jobs} of this node {'are' if count > 1 else 'is'} on host {host.name}",
                hint="say what becomes of them: --jobs wait, --jobs cancel or --jobs leave",
                component=COMPONENT,
                details={"Executions": str(count)},
            )
        if count and leaving is Leaving.CANCEL and host.status.state is not HostState.READY:
            raise Conflict(
                f"the {jobs} on host {host.name} can't be cancelled now: {host.status.problem or 'it is away'}",
                hint="try again when it answers, or leave them there: --jobs leave",
                component=COMPONENT,
            )

    async def begin(self, host: Host, leaving: Leaving) -> HostRecord:
        """Remove a host; with `Leaving.WAIT` this returns before it is gone.

        Raises
        ------
        Conflict
            Jobs that were cancelled have not ended; the host stays, paused.
        """
        host.is_removing = True
        host.changed()
        record = host.record()
        if leaving is Leaving.WAIT and (host.node is None or host.node.live()):
            self.resume(host)
            return record
        if leaving is Leaving.CANCEL and host.node is not None:
            try:
                await self._end_all(host, host.node)
            except BaseException:
                # An earlier order to wait for them still holds.
                host.is_removing = host.name in self._waiting
                host.changed()
                raise
        self.drop(host.name)
        await self._finish(host)
        return record

    def resume(self, host: Host) -> None:
        """Remove a host when its jobs have ended, also where an earlier process was told so."""
        self.drop(host.name)
        host.is_removing = True
        host.changed()
        task = f"removing host {host.name}"
        self._waiting[host.name] = asyncio.create_task(
            self._problems.keep(task, lambda: self._wait(host)), name=task
        )

    def drop(self, name: str) -> None:
        """Wait for the jobs of a host no more: a person has changed the file."""
        waiting = self._waiting.pop(name, None)
        if waiting is not None:
            waiting.cancel()
            self._problems.clear(waiting.get_name())

    async def _end_all(self, host: Host, node: ComputeNode) -> None:
        """Stop the jobs there; of one with parts on several nodes, only its part there."""
        jobs = [record.execution.job for record in node.live()]
        for job in jobs:
            if job is not None and job.type not in (JobType.OPS, JobType.DAEMON) and (job.count or 1) == 1:
                # Else the orchestrator would begin it again elsewhere. It may have ended by itself meanwhile.
                with contextlib.suppress(Conflict, NotFound):
                    await self._stop(job.id, f"cancelled: host {host.name} is removed")
        await node.end_all(END_S)
        if count := len(node.live()):
            raise Conflict(
                f"{count} job{'s' if count > 1 else ''} on host {host.name} did not end within {END_S:g} s: "
                "it was not removed",
                hint="It takes no new jobs. Try again, or leave them there: --jobs leave",
                retryable=True,
                component=COMPONENT,
            )

    async def close(self) -> None:
        """Wait for nothing any more: those hosts are still in the file, and paused."""
        for task in self._waiting.values():
            task.cancel()
        if self._waiting:
            await asyncio.wait(self._waiting.values())

    async def _wait(self, host: Host) -> None:
        # Only its compute half knows what it had when the node was stopped.
        await host.started(None)
        if host.node is None:
            return
        await host.node.idle()
        try:
            await self._finish(host)
        except Exception as error:
            # It is tried again.
            host.tell(f"it can't be removed: {sentence(error)}")
            raise
        self._waiting.pop(host.name, None)

    async def _finish(self, host: Host) -> None:
        await self._gone(host)
        await host.stop()
        with contextlib.suppress(BacalhauError):
            await self._forget(host.node_id)
        log.info("host %s was removed", host.name)
