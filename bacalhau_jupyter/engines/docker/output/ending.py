"""How a container ended, from what its engine says of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.models.errors import BacalhauError, EngineError
from bacalhau_jupyter.plugins.engine import EndReason, Outcome

CLOCK_TOLERANCE_S = 5.0
"""Seconds by which an engine's times may be impossible before its clock is compared with ours again."""
COMPARED_S = 60.0
"""Seconds for which a comparison of the clocks holds."""
KILLED = 137
"""Exit code of a program that was killed."""
BEFORE_START_S = 15.0
"""Seconds before the start of an engine within which the end of what ran on a machine that lost its power is dated."""


def moments(state: Mapping[str, Any], skew_ns: int) -> tuple[int, int]:
    """Return when a container began and ended, in Unix nanoseconds of this machine; 0 for what it has not done.

    Parameters
    ----------
    state
        ``State`` of its inspection.
    skew_ns
        By how much the engine's clock is ahead of ours.
    """
    began_ns, ended_ns = (_moment(state, name) for name in ("StartedAt", "FinishedAt"))
    ended_ns = 0 if state.get("Running") else ended_ns
    return (began_ns and began_ns - skew_ns), (ended_ns and ended_ns - skew_ns)


def moments_there(daemon: Daemon, state: Mapping[str, Any]) -> tuple[int, int]:
    """Return the same by the engine's clock as it is now; blocks where it may have been set meanwhile.

    Raises
    ------
    NetworkFailure
        The engine can't be asked what its clock says.
    """
    began_ns, ended_ns = moments(state, daemon.skew_ns)
    tolerance_ns = int(CLOCK_TOLERANCE_S * SECOND)
    is_possible = began_ns - tolerance_ns <= ended_ns <= time.time_ns() + tolerance_ns
    if ended_ns and not (is_possible and daemon.clock_age_s < COMPARED_S):
        daemon.compare_clocks()
        began_ns, ended_ns = moments(state, daemon.skew_ns)
    # By the clock of before, it may have begun later than it ended.
    return min(began_ns, ended_ns or began_ns), ended_ns


def ended_with_engine(state: Mapping[str, Any], engine_began_ns: int) -> bool:
    """Whether a container ended because its engine, or the whole machine, was stopped; all by the engine's clock.

    After a power loss the exit code is 255, which a program of its own may have, too.
    """
    began_ns, ended_ns = (_moment(state, name) for name in ("StartedAt", "FinishedAt"))
    if not engine_began_ns or not began_ns or not ended_ns or not state.get("ExitCode"):
        return False
    return began_ns < engine_began_ns and ended_ns >= engine_began_ns - BEFORE_START_S * SECOND


def judge(
    daemon: Daemon, container: str, state: Mapping[str, Any], *, cancelled: bool, memory: int
) -> Outcome:
    """Return the outcome of a container that has ended; blocks.

    Parameters
    ----------
    cancelled
        Whether we ended it.
    memory
        Its memory limit in bytes, 0 when there is none.

    Raises
    ------
    NetworkFailure
        The engine can't be asked.
    """
    code = int(state.get("ExitCode", 0))
    began_ns, ended_ns = moments_there(daemon, state)

    def outcome(reason: EndReason, error: BacalhauError | None = None) -> Outcome:
        return Outcome(reason, code, error, began_ns=began_ns, ended_ns=ended_ns)

    if cancelled:
        return outcome(EndReason.CANCELLED)
    if state.get("OOMKilled") or (code == KILLED and memory and _out_of_memory(daemon, container, state)):
        limit = f" (it was {memory / 1e6:,.0f} MB)" if memory else ""
        error = engine_error(
            "memory limit exceeded", hint=f"Increase the task's memory limit{limit}.", code="OOM"
        )
        return outcome(EndReason.OOM, error)
    if code and ended_with_engine(state, daemon.began_ns()):
        return outcome(EndReason.ERROR, restarted(daemon))
    return outcome(EndReason.EXITED)


def restarted(daemon: Daemon) -> EngineError:
    """Return the error of a task that ended with its engine."""
    where = daemon.endpoint.shown or "the Docker Engine"
    return engine_error(
        f"{where} was restarted while the task ran",
        hint="What the task printed until then is kept; it can be run again.",
        code="EngineRestarted",
        retryable=True,
    )


def _moment(state: Mapping[str, Any], name: str) -> int:
    try:
        return max(0, parse_rfc3339(str(state.get(name, ""))))
    except (ValueError, OverflowError):
        return 0


def _out_of_memory(daemon: Daemon, container: str, state: Mapping[str, Any]) -> bool:
    from docker.errors import APIError

    try:
        return daemon.ran_out_of_memory(container, str(state.get("StartedAt", "")))
    except (APIError, ValueError):
        return False
