"""How an execution ended, in words and in its exit record."""

from __future__ import annotations

import os
import time

UNSTORED = "results not stored"
"""The reason where a program came to its end and what it left could not be kept."""

OVER_MEMORY, OVER_DISK = "memory limit exceeded", "disk limit exceeded"
"""The reasons of a program that took more than it was granted; the error is the limit in bytes."""

FINAL = "failed for good"
"""The reason where the same would happen again, however often the job is run."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan


def reported(report: bytes, status: int) -> tuple[str, int, str]:
    """Read a runner's report: ``exit CODE``, ``final TEXT`` or ``error TEXT``.

    Parameters
    ----------
    report
        What it wrote; nothing where it was killed.
    status
        The exit code of its process, 128 plus the signal that ended it.

    Returns
    -------
    tuple
        The reason (empty: judge by the exit code), the exit code, and the error in a sentence.
    """
    word, _, text = report.partition(b" ")
    if word == b"exit" and text.isdigit() and len(text) <= 10:
        return "exited", int(text), ""
    if word in (b"final", b"error"):
        return FINAL if word == b"final" else "error", 1, text.decode(errors="replace")
    if status == 137:
        return "", status, ""
    return "error", status, f"the process that ran it ended without a word (exit code {status})"


def start_error(plan: Plan, step: str, code: int, text: str) -> str:
    """Say in one sentence why the program did not start."""
    what = _reason(code, text)
    if step == "start":
        return f"the command {plan['argv'][0]!r} could not be started: {what}"
    if step == "change to the directory":
        return f"the working directory {plan['cwd']!r} can't be entered: {what}"
    if step == "open the inputs":
        return f"the inputs can't be used: {what}"
    if step == "load":
        return f"the job could not be loaded: {what}"
    return f"the job could not be confined ({step}): {what}"


def _reason(code: int, text: str) -> str:
    """Return what the kernel said, with the step of ours that it refused; names of files are left out."""
    if not code:
        return text
    said = os.strerror(code)
    named = text.partition("] ")[2]
    return named if named.endswith(f": {said}") else said


def oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since it booted (0: unknown)."""
    try:
        with open("/proc/vmstat", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def write_record(path: str, reason: str, exit_code: int, error: str) -> None:
    """Write the exit record in place of the space reserved for it, so that a full disk can't prevent it."""
    text = "".join(
        char if 31 < ord(char) < 127 and char not in '"\\' else _escape(char) for char in error[:600]
    )
    record = (
        f'{{"reason": "{reason}", "exit_code": {exit_code}, "ended_ns": {time.time_ns()}, "error": "{text}"}}'
    ).encode()
    reserved = path + ".reserved"
    descriptor = os.open(reserved, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(descriptor, record)
    os.ftruncate(descriptor, len(record))
    os.close(descriptor)
    os.rename(reserved, path)  # noqa: PTH104


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", errors="replace")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
