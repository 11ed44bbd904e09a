"""Running one task on an engine, for the benches of engines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.contract import InputMount, OutputMount
from bacalhau_jupyter.plugins.engine import Engine, Outcome, RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions

WAIT_S = 60.0
LIMITS_S = (1.0, 4.0, 30.0)
"""One after the other, for a job that is to be up when its time is over: a busy machine may miss the first."""
OUTPUTS = (("outputs", "/outputs"),)


@dataclass
class Result:
    """How a task ended and what it printed."""

    outcome: Outcome
    stdout: str
    stderr: str
    outputs: Path
    request: RunRequest

    @property
    def error(self) -> str:
        """The sentence of the failure; empty for none."""
        return self.outcome.error.message if self.outcome.error else ""

    def text(self, name: str) -> str:
        """Return what the task wrote to ``outputs/name``."""
        return (self.outputs / name).read_text()


def request_for(
    execution: Execution,
    options: PluginOptions,
    *,
    inputs: Sequence[InputMount] = (),
    env: dict[str, str] | None = None,
    resources: Resources | None = None,
    log: Path | None = None,
    **limits: Any,
) -> RunRequest:
    """Return a request to run an execution in a directory that a node would make; ``limits`` are the request's."""
    assert execution.job is not None
    directory = options.data_dir / "executions" / execution.id
    directory.mkdir(mode=0o700, parents=True)
    return RunRequest(
        execution=execution,
        node_id=options.node_id,
        env=env or {},
        resources=resources or Resources(),
        inputs=inputs,
        outputs=[
            OutputMount(each.name, directory / "results" / each.name, each.path)
            for each in execution.job.task.result_paths
        ],
        directory=directory,
        log_path=log or directory / "log",
        **limits,
    )


async def finished(engine: Engine, request: RunRequest) -> Result:
    """Wait for a started task."""
    async with asyncio.timeout(WAIT_S):
        outcome = await engine.wait(request.execution.id)
    printed = {logfile.STDOUT: b"", logfile.STDERR: b""}
    for frame in all_frames(request.log_path):
        if frame.stream in printed:
            printed[frame.stream] += frame.data
    return Result(
        outcome,
        printed[logfile.STDOUT].decode(errors="replace"),
        printed[logfile.STDERR].decode(errors="replace"),
        request.outputs[0].path if request.outputs else Path("/nonexistent"),
        request,
    )


async def clear(engine: Engine) -> None:
    """Remove every execution of an engine and close it."""
    for execution_id in await engine.existing():
        await engine.clean(execution_id)
    await engine.close()


def all_frames(path: Path) -> list[logfile.Frame]:
    """Read a whole log file."""
    frames: list[logfile.Frame] = []
    while more := list(logfile.read_frames(path, frames[-1].next_offset if frames else 0)):
        frames += more
    return frames
