"""What is going on with a job, in the words of its card."""

from __future__ import annotations

from bacalhau_jupyter.lib.ids import host_of, short_id
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.history import AGAIN, StreamEvent, Topic

ASKING = "asking for bids"
RUNNING = "running"
_QUEUED = "queued: "


def is_queued(state: str, phase: str) -> bool:
    """Whether a job waits for room, rather than for something that its phase tells better (a pull, a download)."""
    return state == JobStateType.QUEUED.value and phase.startswith((ASKING, _QUEUED))


def phase_of(event: StreamEvent) -> str:
    """Turn an event into the words of the card; empty when it says nothing new."""
    phase = event.details.get("Phase")
    if phase:
        return _progress(phase, event.details, with_share=not host_of(event.node))
    if event.topic == Topic.QUEUEING:
        return _QUEUED + event.message.removeprefix("Job queued. ").split("\n")[0]
    if event.topic == Topic.SCHEDULING and event.execution:
        again = event.details.get(AGAIN, "")
        return f"{ASKING}, to begin again: {again}" if again else ASKING
    if event.topic == Topic.EXECUTION and event.message == "Running":
        return RUNNING
    return ""


def at_work(node_id: str, phase: str) -> list[str]:
    """Say what is being done and where; of a Docker host both in one: "on gpu1 (copying image 120/253 MB)"."""
    host = host_of(node_id)
    return [f"on {host} ({phase})"] if host else [phase, f"on {short_id(node_id)}"]


def _progress(phase: str, details: dict[str, str], *, with_share: bool) -> str:
    """Say "fetching inputs 1.2/3.4 GB (35 %), 120/400 files, 1.1 GB from the cache", as far as it is known."""
    done, total = _count(details, "Done"), _count(details, "Total")
    files, total_files = _count(details, "Files"), _count(details, "TotalFiles")
    parts = [phase]
    if total:
        parts[0] += f" {_share_of(done, total)}" + (f" ({100 * done // total} %)" if with_share else "")
    elif done:
        parts[0] += f" {format_bytes(done)}"
    # One file needs no counting: its bytes say it all.
    if total_files > 1:
        parts.append(f"{files}/{total_files} files")
    elif files > 1:
        parts.append(f"{files} files")
    if note := details.get("Note", ""):
        parts.append(note)
    return ", ".join(parts)


def _count(details: dict[str, str], name: str) -> int:
    text = details.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else 0


def _share_of(done: int, total: int) -> str:
    first, second = format_bytes(done), format_bytes(total)
    amount, _, unit = first.partition(" ")
    return f"{amount}/{second}" if second.endswith(f" {unit}") else f"{first}/{second}"
