"""Trying a tier for real: a program that must fail to read a file of the node, and succeed in writing its output."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bacalhau_jupyter.engines.process.params import ENGINE_TYPE
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.contract import OutputMount
from bacalhau_jupyter.plugins.engine import Engine, Outcome, RunRequest

EXECUTION_ID = "probe"
_TIMEOUT_S = 20.0
_COULD_READ = 9
_PROGRAM = f'cat "$1" >/dev/null 2>&1 && exit {_COULD_READ}; echo confined > "$BACALHAU_OUTPUTS/probe"'


async def problem(engine: Engine, place: Path, node_id: str) -> str:
    """Run the trial on an engine; return why its confinement does not work, or "".

    Parameters
    ----------
    engine
        Set to the tier in question.
    place
        A directory of the node's for the trial's files.
    node_id
        This node.
    """
    nonce, outputs, log = place / "nonce", place / "outputs", place / "log"
    try:
        await asyncio.to_thread(_prepare, nonce, outputs)
        await engine.start(_request(node_id, place, nonce, outputs, log))
        async with asyncio.timeout(_TIMEOUT_S + 10):
            outcome = await engine.wait(EXECUTION_ID)
        written = await asyncio.to_thread((outputs / "probe").exists)
        return _verdict(outcome, written, await asyncio.to_thread(_last_line, log))
    except TimeoutError:
        return f"a trial program did not end within {_TIMEOUT_S:g} s"
    except (BacalhauError, OSError) as error:
        return str(error)
    finally:
        await engine.clean(EXECUTION_ID)


def _prepare(nonce: Path, outputs: Path) -> None:
    outputs.mkdir(parents=True)
    write_text(nonce, "not for jobs")


def _request(node_id: str, place: Path, nonce: Path, outputs: Path, log: Path) -> RunRequest:
    spec = SpecConfig(type=ENGINE_TYPE, params={"Command": ["/bin/sh", "-c", _PROGRAM, "sh", str(nonce)]})
    return RunRequest(
        execution=Execution(id=EXECUTION_ID, job=Job(tasks=[Task(name="probe", engine=spec)])),
        node_id=node_id,
        env={},
        resources=Resources(),
        inputs=(),
        outputs=(OutputMount("outputs", outputs, "/outputs"),),
        directory=place,
        log_path=log,
        timeout_s=_TIMEOUT_S,
    )


def _verdict(outcome: Outcome, written: bool, last_line: str) -> str:
    said = f" ({last_line})" if last_line else ""
    if outcome.error is not None:
        return f"{outcome.error.message}{said}"
    if outcome.exit_code == _COULD_READ:
        return "a trial program could read the node's own files"
    if outcome.exit_code or not written:
        return f"a trial program failed with exit code {outcome.exit_code}{said}"
    return ""


def _last_line(log: Path) -> str:
    """Return the last line that was printed, to say why a trial failed."""
    printed = b"".join(frame.data for frame in logfile.read_frames(log))
    lines = printed.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
