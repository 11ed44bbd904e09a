"""Trying a tier for real: a program that must fail to read a file of the node, and succeed in writing its output."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.engines.process.params import ENGINE_TYPE
from bacalhau_jupyter.engines.supervised.trial import last_words, request_of, try_out
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.plugins.contract import OutputMount
from bacalhau_jupyter.plugins.engine import Engine, Outcome

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
    command = ["/bin/sh", "-c", _PROGRAM, "sh", str(nonce)]
    task = Task(name="probe", engine=SpecConfig(type=ENGINE_TYPE, params={"Command": command}))
    mounts = (OutputMount("outputs", outputs, "/outputs"),)
    return await try_out(
        engine,
        request_of(task, node_id, place, log, outputs=mounts),
        lambda: _prepare(nonce, outputs),
        lambda outcome: _verdict(outcome, outputs / "probe", log),
    )


def _prepare(nonce: Path, outputs: Path) -> None:
    outputs.mkdir(parents=True)
    write_text(nonce, "not for jobs")


def _verdict(outcome: Outcome, result: Path, log: Path) -> str:
    said = last_words(log)
    if outcome.error is not None:
        return f"{outcome.error.message}{said}"
    if outcome.exit_code == _COULD_READ:
        return "a trial program could read the node's own files"
    if outcome.exit_code or not result.exists():
        return f"a trial program failed with exit code {outcome.exit_code}{said}"
    return ""
