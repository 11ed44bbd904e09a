"""The ends of an execution as the node sees them: asking for one, and reading how it came."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from bacalhau_jupyter.engines.supervised import spawn
from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.engines.supervised.supervisor.exit_record import (
    FINAL,
    OVER_DISK,
    OVER_MEMORY,
    UNSTORED,
)
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import EngineError, TimedOut
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.engine import EndReason, Outcome

_END_FRAME = bytes([logfile.END])
_END_SIZE = 13
_MAX_SAID = 300


def cancel(state: State) -> None:
    """Ask an execution's supervisor to end it; for one that is not alive there is nothing to do."""
    if not state.is_alive():
        return
    with contextlib.suppress(FileNotFoundError):
        state.cancel_file.touch()
    supervisor = state.supervisor()
    if supervisor is not None:  # one that has not got so far yet looks for the marker
        spawn.terminate(*supervisor)


def kill(state: State) -> None:
    """Kill a supervisor that did not end when it was asked to, and all of its execution."""
    supervisor = state.supervisor() if state.is_alive() else None
    if supervisor is not None:
        spawn.terminate(*supervisor, number=signal.SIGKILL)
        spawn.sweep(state, state.about())


def read_outcome(state: State) -> Outcome:
    """Read how a dead supervisor's execution ended, and make up for a supervisor that was killed."""
    about, record = state.about(), state.record()
    if record is None:
        spawn.sweep(state, about)
    if about:
        _end_log(Path(about.log))
    if record is None:
        if state.cancel_file.exists():
            return Outcome(EndReason.CANCELLED)
        return Outcome(EndReason.ERROR, 0, _unrecorded(state))
    if record.reason in (UNSTORED, FINAL):
        # The same would become of it a second time.
        return Outcome(EndReason.ERROR, record.exit_code, _failure(record.error, fails_job=True))
    if record.reason == OVER_MEMORY:
        return Outcome(EndReason.OOM, record.exit_code, _exceeded("memory", record.error, "OOM"))
    if record.reason == OVER_DISK:
        return Outcome(EndReason.ERROR, record.exit_code, _exceeded("disk", record.error, "DiskLimit"))
    reason = EndReason(record.reason)
    if reason in (EndReason.EXITED, EndReason.CANCELLED):
        return Outcome(reason, record.exit_code)
    if reason is EndReason.TIMEOUT:
        message = "the execution exceeded its time-out"
        return Outcome(reason, record.exit_code, TimedOut(message, fails_execution=True))
    if reason is EndReason.OOM:
        message = "the kernel killed the process because memory ran out"
        return Outcome(reason, record.exit_code, _failure(message))
    return Outcome(reason, record.exit_code, _failure(record.error))


def _unrecorded(state: State) -> EngineError:
    """Tell why a supervisor left no record: it was killed, or could not begin."""
    try:
        said = read_text(state.errors_file, errors="replace").strip()
    except OSError:
        said = ""
    if not said:
        return _failure("the execution's supervisor was killed")
    return EngineError(
        f"the execution's supervisor ended with an error: {shown(said.splitlines()[-1][-_MAX_SAID:])}",
        hint="if bacalhau-jupyter was updated while this node ran, restart the node",
        fails_execution=True,
    )


def _exceeded(what: str, limit: str, code: str) -> EngineError:
    """Return the error of a task that took more than it was granted, in the words that jobs of Docker get."""
    was = f" (it was {int(limit) / 1e6:,.0f} MB)" if limit.isdigit() and int(limit) else ""
    return EngineError(
        f"{what} limit exceeded",
        hint=f"Increase the task's {what} limit{was}.",
        code=code,
        fails_execution=True,
    )


def _failure(message: str, *, fails_job: bool = False) -> EngineError:
    return EngineError(message, fails_execution=True, fails_job=fails_job)


def _end_log(path: Path) -> None:
    """Write the end frame where the supervisor could not (it was killed, or the disk was full)."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END_SIZE))
            tail = file.read()
        if not (tail[:1] == _END_FRAME and tail.endswith(b"\0\0\0\0")):
            logfile.LogWriter(path).end()
    except OSError:
        return
