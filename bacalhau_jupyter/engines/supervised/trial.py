"""Trying an engine for real: one small task is run on it before the node says that it works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.contract import InputMount, OutputMount
from bacalhau_jupyter.plugins.engine import Engine, Outcome, RunRequest

TIMEOUT_S = 20.0
"""Seconds that the task may run."""


async def try_out(
    engine: Engine,
    request: RunRequest,
    prepare: Callable[[], None],
    judge: Callable[[Outcome], str],
    what: str = "a trial program",
) -> str:
    """Run a task on an engine, and clean up after it; return why that does not work, or "".

    Parameters
    ----------
    engine, request
        What runs the task, and the task.
    prepare, judge
        Makes the task's files, and says what is wrong with how it ended. Both are called in a thread.
    what
        What people call the task.
    """
    identifier = request.execution.id
    try:
        await asyncio.to_thread(prepare)
        await engine.start(request)
        async with asyncio.timeout(TIMEOUT_S + 10):
            outcome = await engine.wait(identifier)
        return await asyncio.to_thread(judge, outcome)
    except TimeoutError:
        return f"{what} did not end within {TIMEOUT_S:g} s"
    except (BacalhauError, OSError) as error:
        return str(error)
    finally:
        await engine.clean(identifier)


def request_of(
    task: Task,
    node_id: str,
    place: Path,
    log: Path,
    *,
    execution_id: str = "probe",
    inputs: Sequence[InputMount] = (),
    outputs: Sequence[OutputMount] = (),
) -> RunRequest:
    """Return a request for a task of a trial; ``place`` is a directory of the node's for its files."""
    return RunRequest(
        execution=Execution(id=execution_id, job=Job(tasks=[task])),
        node_id=node_id,
        env={},
        resources=Resources(),
        inputs=inputs,
        outputs=outputs,
        directory=place,
        log_path=log,
        timeout_s=TIMEOUT_S,
    )


def last_words(log: Path) -> str:
    """Return the last line that a task printed, in brackets after a space; empty where it printed nothing."""
    printed = b"".join(frame.data for frame in logfile.read_frames(log))
    lines = printed.decode(errors="replace").strip().splitlines()
    return f" ({lines[-1][:300]})" if lines and lines[-1] else ""
