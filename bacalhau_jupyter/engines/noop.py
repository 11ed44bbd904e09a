"""The noop engine: executions that live in memory, for tests, the devstack and scheduler benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

from bacalhau_jupyter.models.codec import Wire, convert
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import ACCEPTED, Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import EndReason, Outcome, RunRequest
from bacalhau_jupyter.plugins.logfile import STDOUT, LogWriter
from bacalhau_jupyter.plugins.options import PluginOptions

COMPONENT = "Noop"
RUNTIME = "noop"


class NoopParams(Wire):
    """What an execution pretends to do.

    ``sleep`` is in seconds; ``stdout`` is printed before it; ``fail`` is the message of an engine error.
    """

    sleep: float = 0.0
    exit_code: int = 0
    stdout: str = ""
    fail: str = ""


class NoopEngine:
    """Runs tasks of type ``noop``; nothing of it survives the node.

    Parameters
    ----------
    options
        Not used; every engine takes them.
    """

    type = "noop"
    needs_no_directory: Literal[True] = True

    def __init__(self, options: PluginOptions) -> None:
        del options
        self._tasks: dict[str, asyncio.Task[Outcome]] = {}
        self._cancelled: dict[str, asyncio.Event] = {}

    async def probe(self) -> Availability:
        return Availability(available=True, runtime=RUNTIME)

    async def bid(self, execution: Execution) -> Bid:
        _params(execution)
        return ACCEPTED

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        identifier = request.execution.id
        if identifier not in self._tasks:
            params = _params(request.execution)
            cancelled = self._cancelled[identifier] = asyncio.Event()
            self._tasks[identifier] = asyncio.create_task(
                _pretend(params, request, cancelled), name=f"noop-{identifier}"
            )
        return RUNTIME

    async def attach(self, request: RunRequest) -> bool:
        return request.execution.id in self._tasks

    async def wait(self, execution_id: str) -> Outcome:
        task = self._tasks.get(execution_id)
        if task is None:
            raise EngineError(f"the noop engine does not run execution {execution_id}")
        return await asyncio.shield(task)

    async def cancel(self, execution_id: str) -> None:
        if (event := self._cancelled.get(execution_id)) is not None:
            event.set()

    async def clean(self, execution_id: str) -> None:
        self._cancelled.pop(execution_id, None)
        if (task := self._tasks.pop(execution_id, None)) is not None:
            await _end(task)

    async def existing(self) -> list[str]:
        return list(self._tasks)

    async def close(self) -> None:
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            await _end(task)


def _params(execution: Execution) -> NoopParams:
    params = execution.job.task.engine.params if execution.job is not None and execution.job.tasks else {}
    return convert(params, NoopParams, "noop engine's Params")


async def _pretend(params: NoopParams, request: RunRequest, cancelled: asyncio.Event) -> Outcome:
    # Who prints nothing needs no log: benchmarks and devstacks run thousands of these.
    writer = await asyncio.to_thread(LogWriter, request.log_path) if params.stdout else None
    try:
        if writer is not None:
            await asyncio.to_thread(writer.write, STDOUT, params.stdout.encode())
        if params.sleep > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(params.sleep):
                    await cancelled.wait()
    finally:
        if writer is not None:
            await asyncio.to_thread(writer.end)
    silent = writer is None
    if cancelled.is_set():
        return Outcome(EndReason.CANCELLED, silent=silent)
    if params.fail:
        error = EngineError(params.fail, fails_execution=True)
        return Outcome(EndReason.ERROR, exit_code=-1, error=error, silent=silent)
    return Outcome(EndReason.EXITED, params.exit_code, silent=silent)


async def _end(task: asyncio.Task[Outcome]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
