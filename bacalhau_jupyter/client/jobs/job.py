"""A handle on one job: state, output, stop, wait, result."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.connection.abilities import require
from bacalhau_jupyter.client.connection.cluster import Cluster
from bacalhau_jupyter.client.connection.portal import Portal
from bacalhau_jupyter.client.jobs.failure import JobFailed, raise_for_state
from bacalhau_jupyter.client.jobs.watch import Output, Transition, Update, watch
from bacalhau_jupyter.client.results.download import download, fresh_directory
from bacalhau_jupyter.client.results.progress import run_shown
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.sources import absolute, open_sources
from bacalhau_jupyter.client.results.tree import ResultTree
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.nearby import is_near
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobState, JobStateType
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.displays import DisplayFilter, without_displays
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.explanation import FEATURE, Explanation
from bacalhau_jupyter.models.records.history import JobHistory
from bacalhau_jupyter.models.wire.api import GetJobResponse, LogFrame

_SLICE_S = 0.2

STOP_REASON = "Stopped at user request"


class Job:
    """A submitted job. Blocking methods for cells and scripts; ``await job`` waits without blocking.

    Parameters
    ----------
    client
        Knows the job's cluster.
    job_id
        Full job ID.

    Attributes
    ----------
    id
        Full job ID.
    """

    def __init__(self, client: Cluster, job_id: str) -> None:
        self._client = client
        self.id = job_id

    @property
    def short_id(self) -> str:
        """The ID as people see it."""
        return short_id(self.id)

    @property
    def client(self) -> Cluster:
        """The client that knows this job's cluster."""
        return self._client

    @property
    def portal(self) -> Portal:
        """The event loop thread on which this job is watched and its results are fetched."""
        return self._client.portal

    @property
    def features(self) -> Collection[str]:
        """What the job's cluster offers beyond the official API."""
        return self._client.info.features

    # ---- what it is

    def describe(self) -> JobModel:
        """Return the job's record as the cluster has it now."""
        return self._client.call(lambda api: api.get_job(self.id)).job

    @property
    def state(self) -> JobStateType:
        """The job's state now."""
        return self.describe().state.state_type

    def executions(self) -> list[Execution]:
        """Return the job's executions."""
        return self._client.call(lambda api: api.executions(self.id)).items

    def history(self) -> list[JobHistory]:
        """Return everything that happened to the job so far."""
        return self._client.call(lambda api: api.full_history(self.id))

    def explain(self) -> Explanation:
        """Return why the job waits, and what would make it run; of one that ran, how it came to run where it did.

        Raises
        ------
        NotImplementedHere
            The job's cluster does not explain jobs, as official ones don't.
        """
        require(self._client.info, FEATURE)
        return self._client.call(lambda api: api.explain(self.id))

    # ---- what it prints

    def logs(self, *, follow: bool = False, tail: bool = False, execution_id: str = "") -> Iterator[str]:
        """Iterate over the job's output (stdout and stderr), chunk by chunk."""
        api = self._client.api()
        stream = api.logs(self.id, follow=follow, tail=tail, execution_id=execution_id)
        return _without_displays(self._client.portal.iterate(stream))

    def printed(self, stream: str) -> str:
        """Return all that the job's executions have printed to ``stdout`` or ``stderr`` so far."""
        stream_number = {"stdout": 1, "stderr": 2}[stream]
        parts = []
        for execution in self.executions():
            frames = self._client.api().logs(self.id, execution_id=execution.id)
            parts += [
                frame.value.line
                for frame in self._client.portal.iterate(frames)
                if frame.value.type == stream_number
            ]
        return without_displays("".join(parts))

    def updates(self, *, logs: bool = True) -> Iterator[Update]:
        """Iterate over transitions and output until the job is over."""
        return (update for update in self.updates_or_idle(logs=logs) if update is not None)

    def updates_or_idle(self, *, logs: bool = True) -> Iterator[Update | None]:
        """Do what `updates` does, and yield None several times a second while nothing happens."""
        source = watch(self._client.api(), self.id, logs=logs, reconnect=self._client.reconnect)
        return self._client.portal.iterate_or_idle(source)

    # ---- what one can do with it

    def stop(self, reason: str = STOP_REASON) -> None:
        """Stop the job and wait until it is gone; a job that is over stays as it is."""
        if self.state.is_terminal:
            return
        try:
            self._client.call(lambda api: api.stop(self.id, reason=reason))
        except BacalhauError:
            # It may have ended between the two requests.
            if not self.state.is_terminal:
                raise
        self.wait()

    def wait(self) -> JobState:
        """Wait until the job is over; return its final state."""
        for _ in self.updates(logs=False):
            pass
        return self.describe().state

    def result(self, *, check: bool = True) -> JobResult:
        """Wait until the job is over and return its result.

        Raises
        ------
        JobFailed
            The job failed or was stopped or, with ``check``, ended with a non-zero exit code.
        """
        for _ in self.updates(logs=False):
            pass
        return self.outcome(check=check)

    def until_settled(self, *, check: bool = True) -> JobResult | None:
        """Wait as `result` does; for a service or daemon job, which has no end, until it runs, and return None.

        Raises
        ------
        JobFailed
            See `result`.
        """
        endless = self.describe().type.lower() in ("service", "daemon")
        for update in self.updates(logs=False):
            event = getattr(update, "event", None)
            if endless and event is not None and event.execution:
                return None
        return self.outcome(check=check)

    def outcome(self, *, check: bool = True) -> JobResult:
        """Return the result of a job that is over; see `result`."""
        answer = self._client.call(lambda api: api.get_job(self.id, include="executions"))
        return self._outcome(answer, check=check)

    def _outcome(self, answer: GetJobResponse, *, check: bool) -> JobResult:
        executions = answer.executions.items if answer.executions else []
        result = JobResult(self, answer.job, executions)
        raise_for_state(result, check=check)
        return result

    def get(
        self,
        directory: str | Path | None = None,
        *,
        path: str = "",
        raw: bool = False,
        timeout_s: float | None = None,
    ) -> Path:
        """Download results into a directory (default ``./job-…``); return it.

        Parameters
        ----------
        path
            One file or subtree only, which keeps its path.
        raw
            Leave archives as they are, in ``raw/``, instead of unpacking and merging them.
        timeout_s
            Seconds that it may take.
        """
        target = Path(directory) if directory is not None else Path.cwd() / f"job-{self.short_id}"
        with fresh_directory(target):
            self.download(target, path=path, raw=raw, timeout_s=timeout_s)
        return target

    def download(
        self, directory: Path, *, path: str = "", raw: bool = False, timeout_s: float | None = None
    ) -> None:
        """Download results into an existing directory; see `get`."""
        tree = self.result_tree(self.executions())
        run_shown(
            self.portal,
            lambda progress: download(tree, directory, progress, path=path, raw=raw, timeout_s=timeout_s),
        )

    def results(self) -> list[SpecConfig]:
        """Return where the results are, with URLs that are valid now."""
        specs = self._client.call(lambda api: api.results(self.id)).items
        return [absolute(spec, self._client.endpoint) for spec in specs]

    def result_tree(self, executions: Sequence[Execution]) -> ResultTree:
        """Return the results as they lie where they were published; nothing is fetched yet."""
        client = self._client

        async def again() -> Sequence[SpecConfig]:
            return (await client.acall(lambda api: api.results(self.id))).items

        specs = client.call(lambda api: api.results(self.id, local=is_near(api.endpoint.url))).items
        return ResultTree(open_sources(specs, executions, client.endpoint, again), self.short_id)

    def __await__(self) -> Generator[Any, None, JobResult]:
        return self._awaited().__await__()

    async def _awaited(self) -> JobResult:
        """Wait on the caller's loop without a thread: cancelling ends the waiting at once, not the job."""
        client = self._client
        if not client.is_connected:
            await asyncio.to_thread(client.api)
        over = asyncio.ensure_future(asyncio.wrap_future(client.portal.start(self._over())))
        try:
            # In slices: a kernel notices an interrupt of its loop only when the loop has something to do.
            while not over.done():
                await asyncio.wait([over], timeout=_SLICE_S)
            return over.result()
        finally:
            over.cancel()

    async def _over(self) -> JobResult:
        source = watch(self._client.api_now(), self.id, logs=False, reconnect=self._client.reconnect)
        async with contextlib.aclosing(source):
            async for _ in source:
                pass
        answer = await self._client.acall(lambda api: api.get_job(self.id, include="executions"))
        return self._outcome(answer, check=True)

    def __repr__(self) -> str:
        return f"<Job {self.short_id}>"


def _without_displays(frames: Iterable[LogFrame]) -> Iterator[str]:
    displays = DisplayFilter()
    for frame in frames:
        text = displays.feed(frame.value.line) if frame.value.type == 1 else frame.value.line
        if text:
            yield text
    if rest := displays.finish():
        yield rest


__all__ = ["STOP_REASON", "Job", "JobFailed", "JobResult", "Output", "Transition", "raise_for_state"]
