"""What became of a job, for people: the official state does not say whether its program succeeded.

Bacalhau calls a job ``Completed`` when its program ended, with whatever exit code. The orchestrator notes the rest in
the details of the job's state, where official clients ignore it, so that a list of jobs says all that a row shows.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence

from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.models.jobs.job import Job, JobState, JobStateType
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.text import readable

OUTCOME, EXIT_CODE, ERROR, NODE, START_TIME = "Outcome", "ExitCode", "Error", "NodeID", "StartTime"
"""Details of a job's state (an addition of ours).

The outcome, the exit code, the last line of stderr of a program that failed (or why no node took the job), the node of
the execution that decided, and the Unix time in nanoseconds at which the job began to run.
"""

NO_NODE = ("not enough nodes to run job", "not matching nodes to run job")
"""How the official words begin of a job that no node takes."""

_ERROR_CHARACTERS = 300
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;:?]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
"""Colours, titles and the like that a program sends to its terminal."""
_ONE_NODE = re.compile(r"^(?:Node \S+|1 of 1 nodes): ")
_LAST = (": does not support ", ": labels map[")
"""What is in the reason of a node that the job's plug-ins or constraints rule out: another node is meant, as a rule."""
_TRIED = re.compile(r"job already executed on this node more than once: ")
"""What stands before the reason why a node failed twice: for people, the reason alone says why."""
_LABELS = re.compile(r"labels map\[.*?\] don't match required selectors (\[.*\])", re.DOTALL)
_HOST = re.compile(r"[\[ ]host (?:=|==|in) ([^\] ]+)")
"""The Docker hosts that selectors mean."""
_NO_REASONS = ("bid rejected", "execution failed", "Running")
"""Words of the protocol that stand where an execution has no reason of its own."""
_WAITING = (JobStateType.UNDEFINED, JobStateType.PENDING, JobStateType.QUEUED)


class Outcome(enum.StrEnum):
    """How a job stands, in the words of people."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


def outcome_of(state: JobStateType, exit_code: int | None) -> Outcome:
    """Return the outcome of a job in this state whose program ended with this exit code (None: not known)."""
    if state in _WAITING:
        return Outcome.WAITING
    if state is JobStateType.RUNNING:
        return Outcome.RUNNING
    if state is JobStateType.STOPPED:
        return Outcome.STOPPED
    return Outcome.FAILED if state is JobStateType.FAILED or exit_code else Outcome.SUCCEEDED


def exit_code_of(executions: Iterable[Execution]) -> int | None:
    """Return the first non-zero exit code of these executions, else 0; None when no program ended."""
    codes = [
        item.run_output.code
        for item in _last_tries(executions)
        # An official node reports a zero for executions that never got so far.
        if item.run_output is not None
        and (item.run_output.code or item.compute_state.state_type is ExecutionStateType.COMPLETED)
    ]
    return next((code for code in codes if code), 0) if codes else None


def deciding(executions: Sequence[Execution]) -> Execution | None:
    """Return the execution by which people judge the job: one whose program failed, else the last that ended well."""
    executions = _last_tries(executions)
    failing = [item for item in executions if item.run_output is not None and item.run_output.code]
    done = [item for item in executions if item.compute_state.state_type is ExecutionStateType.COMPLETED]
    candidates = failing or done or executions
    return max(candidates, key=lambda item: item.modify_time) if candidates else None


def _last_tries(executions: Iterable[Execution]) -> list[Execution]:
    """Leave out what failed and was run again to its end: a host that was restarted ends programs with 255, too."""
    everything = list(executions)
    completed = ExecutionStateType.COMPLETED
    done = {
        (item.job_version, item.partition_index)
        for item in everything
        if item.compute_state.state_type is completed
    }
    return [
        item
        for item in everything
        if item.compute_state.state_type is completed or (item.job_version, item.partition_index) not in done
    ]


def error_line(execution: Execution | None) -> str:
    """Return the last line that a failed program wrote to stderr, without controls; empty where it is not known."""
    output = execution.run_output if execution is not None else None
    if output is None or not output.code or output.stderr_truncated:
        return ""
    lines = [line.strip() for line in _SEQUENCE.sub("", output.stderr).splitlines() if line.strip()]
    # It ends up in errors, which Python prints to a terminal as they are.
    return readable(mask_secrets(lines[-1]))[:_ERROR_CHARACTERS] if lines else ""


def refusals_in(message: str) -> str:
    """Return the reasons of the nodes from the official text of a shortage, in one line; empty for other texts.

    The official text begins with counts that say nothing about the cause, and gives each reason a line of its own.
    """
    reasons = [line.removeprefix("• ") for line in message.splitlines() if line.startswith("• ")]
    # An official orchestrator names a node that would take the job, if there were more of them, without a reason.
    reasons = [reason for reason in reasons if not reason.rstrip().endswith(":")]
    # Whoever named a node wants to know of that one first.
    reasons.sort(key=lambda reason: next((rank for rank, words in enumerate(_LAST, 1) if words in reason), 0))
    if missing := _missing_labels(reasons):
        return missing
    # Who named a host does not ask about others.
    reasons = [reason for reason in reasons if not _is_of_other_host(reason)]
    reasons = [_LABELS.sub(r"lacks the labels \1", reason) for reason in reasons]
    if len(reasons) == 1:
        # Which node it was tells nothing where there is one reason.
        reasons = [_ONE_NODE.sub("", reasons[0])]
    return readable(_TRIED.sub("", " ".join("; ".join(reasons).split())))


def _is_of_other_host(reason: str) -> bool:
    mismatch = _LABELS.search(reason)
    meant = None if mismatch is None else _HOST.search(mismatch[1])
    if mismatch is None or meant is None:
        return False
    labels = mismatch[0].partition("] don't match")[0].removeprefix("labels map[").split()
    return not any(f"host:{name}" in labels for name in meant[1].split("|"))


def _missing_labels(reasons: Sequence[str]) -> str:
    """Return one sentence where no node has the labels that the job asks for; empty where they lack other things.

    All labels of all nodes say less than the name that was misspelt.
    """
    matches = [_LABELS.search(reason) for reason in reasons]
    mismatches = [match for match in matches if match is not None]
    if not mismatches or len(mismatches) < len(matches):
        return ""
    return readable(f"no node has the labels {mismatches[0][1]}")


def cause_of(state: JobState, executions: Sequence[Execution]) -> str:
    """Return why a job failed, in one sentence: the newest execution's own reason before those of nodes; may be empty.

    Cells, lists and explanations all show this sentence, at any later time, too.
    """
    for execution in reversed(executions):
        # A cancelled execution shows the failure's consequence, not its cause.
        if execution.compute_state.state_type is ExecutionStateType.CANCELLED:
            continue
        message = execution.compute_state.message
        if execution.is_discarded and message and message not in _NO_REASONS:
            return message
    # Without a reason of a node, its line says nothing beside the counts.
    return refusals_in(state.message) or state.message.partition("\n• ")[0]


def stopped_words(reason: str, form: str = "stopped: {}") -> str:
    """Return that a job was stopped, and why; empty without a reason.

    A reason such as "Stopped at user request" says both, and stands for itself.
    """
    if reason.lower().startswith("stopped "):
        return reason[0].lower() + reason[1:]
    return form.format(reason) if reason else ""


def running_details(now_ns: int) -> dict[str, str]:
    """Return the details of the state of a job that begins to run."""
    return {START_TIME: str(now_ns)}


def ended_details(job: Job, state: JobState, executions: Sequence[Execution]) -> dict[str, str]:
    """Return the details of the state in which a job ends.

    Parameters
    ----------
    job
        The job before it ends.
    state
        Its last state.
    executions
        The executions of its current version.
    """
    exit_code = exit_code_of(executions)
    decided_by = deciding(executions)
    known = {
        OUTCOME: outcome_of(state.state_type, exit_code).value,
        EXIT_CODE: "" if exit_code is None else str(exit_code),
        ERROR: error_line(decided_by)
        or (_one_line(cause_of(state, executions)) if state.state_type is JobStateType.FAILED else ""),
        NODE: decided_by.node_id if decided_by else "",
        START_TIME: job.state.details.get(START_TIME, ""),
    }
    return {name: text for name, text in known.items() if text}


def _one_line(text: str) -> str:
    return readable(" ".join(mask_secrets(text).split()))[:_ERROR_CHARACTERS]


def recorded_exit_code(state: JobState) -> int | None:
    """Return the exit code that the orchestrator noted; None where it noted none (an official cluster never does)."""
    text = state.details.get(EXIT_CODE, "")
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() and digits.isascii() and len(digits) <= 10 else None


def recorded_outcome(state: JobState) -> Outcome:
    """Return the outcome of a job from its state alone; on an official cluster a wrong exit code stays unknown."""
    return outcome_of(state.state_type, recorded_exit_code(state))
