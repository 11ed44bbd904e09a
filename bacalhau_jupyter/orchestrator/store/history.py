"""Rows of history: every transition of every job, in the order it was stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.jobs.job import Job, JobState, JobStateType
from bacalhau_jupyter.models.records.history import Event, HistoryType, JobHistory, StreamEvent

_NOTES = 1000


def append(
    connection: sqlite3.Connection,
    job: Job,
    event: Event,
    now_ns: int,
    execution_id: str = "",
    node_id: str = "",
) -> StreamEvent:
    """Store a row about a job in the state it now has, and return it as the event stream shows it."""
    cursor = connection.execute(
        "INSERT INTO history (job_id, job_seq, job_version, execution_id, node_id, state, time, event)"
        " VALUES (?1, (SELECT coalesce(max(job_seq), 0) + 1 FROM history WHERE job_id = ?1), ?2,?3,?4,?5,?6,?7)",
        (
            job.id,
            job.version,
            execution_id,
            node_id,
            job.state.state_type.value,
            now_ns,
            encode(event),
        ),
    )
    return StreamEvent(
        seq=cursor.lastrowid or 0,
        time=rfc3339(now_ns),
        topic=event.topic,
        message=event.message,
        job=job.id,
        job_version=job.version,
        execution=execution_id,
        node=node_id,
        state=job.state.state_type.value,
        details=event.details | _ending(job.state, execution_id),
    )


def of_job(
    connection: sqlite3.Connection,
    job_id: str,
    after: int,
    limit: int,
    *,
    version: int = 0,
    level: HistoryType | None = None,
    execution_id: str = "",
    since_ns: int = 0,
) -> list[JobHistory]:
    """Return up to ``limit`` rows of a job with a sequence number above ``after``."""
    where = ["job_id = ?", "job_seq > ?"]
    values: list[Any] = [job_id, after]
    if version:
        where.append("job_version = ?")
        values.append(version)
    if level is not None:
        where.append("execution_id = ''" if level is HistoryType.JOB else "execution_id <> ''")
    if execution_id:
        where.append("execution_id = ?")
        values.append(execution_id)
    if since_ns:
        where.append("time >= ?")
        values.append(since_ns)
    rows = connection.execute(
        "SELECT job_seq, job_version, execution_id, time, event FROM history"
        f" WHERE {' AND '.join(where)} ORDER BY job_seq LIMIT ?",
        (*values, limit),
    )
    return [
        JobHistory(
            seq_num=seq,
            type=HistoryType.EXECUTION if execution else HistoryType.JOB,
            job_id=job_id,
            job_version=number,
            execution_id=execution,
            event=decode_exact(event, Event),
            time=rfc3339(time),
        )
        for seq, number, execution, time, event in rows
    ]


def noted(connection: sqlite3.Connection, job_id: str, version: int, detail: str) -> dict[str, str]:
    """Return execution ID → a detail that an event of that execution notes, for the newest such events."""
    rows = connection.execute(
        "SELECT execution_id, json_extract(CAST(event AS TEXT), ?) AS note FROM history"
        " WHERE job_id = ? AND job_version = ? AND execution_id <> '' AND note IS NOT NULL"
        " ORDER BY job_seq DESC LIMIT ?",
        (f'$.Details."{detail}"', job_id, version, _NOTES),
    )
    return {str(execution): str(note) for execution, note in rows}


def messages(
    connection: sqlite3.Connection, job_id: str, execution_id: str, detail: str, limit: int
) -> list[str]:
    """Return the messages of an execution's events that have a detail, oldest first."""
    rows = connection.execute(
        "SELECT json_extract(CAST(event AS TEXT), '$.Message') FROM history WHERE job_id = ? AND execution_id = ?"
        " AND json_extract(CAST(event AS TEXT), ?) IS NOT NULL ORDER BY job_seq LIMIT ?",
        (job_id, execution_id, f'$.Details."{detail}"', limit),
    )
    return [str(row[0]) for row in rows]


def forget(connection: sqlite3.Connection, job_id: str) -> None:
    """Remove all rows of a job but the last one, whose number keeps those of later rows above it."""
    connection.execute(
        "DELETE FROM history WHERE job_id = ?1 AND seq < (SELECT max(seq) FROM history WHERE job_id = ?1)",
        (job_id,),
    )


def since(
    connection: sqlite3.Connection, seq: int, limit: int, job_id: str = "", topics: Sequence[str] = ()
) -> tuple[list[StreamEvent], int, bool]:
    """Return rows of the event stream after ``seq``, up to where has been looked, and whether there may be more."""
    where, values = "seq > ?", [seq]
    if job_id:
        where += " AND job_id = ?"
        values.append(job_id)  # type: ignore[arg-type]
    rows = connection.execute(
        "SELECT h.seq, h.time, h.job_id, h.job_version, h.execution_id, h.node_id, h.state, h.event, j.state"
        " FROM history h LEFT JOIN jobs j ON j.id = h.job_id AND j.version = h.job_version AND j.active = 0"
        f" WHERE {where} ORDER BY seq LIMIT ?",
        (*values, limit),
    ).fetchall()
    events = []
    for number, time, job, version, execution, node, state, body, last_state in rows:
        event = decode_exact(body, Event)
        if not topics or event.topic in topics:
            events.append(
                StreamEvent(
                    seq=number,
                    time=rfc3339(time),
                    topic=event.topic,
                    message=event.message,
                    job=job,
                    job_version=version,
                    execution=execution,
                    node=node,
                    state=state,
                    details=event.details | _replayed_ending(state, execution, last_state),
                )
            )
    return events, (rows[-1][0] if rows else seq), len(rows) == limit


def _ending(state: JobState, execution_id: str) -> dict[str, str]:
    """Return what the stream adds to the event that ends a job, so that its readers need no further request.

    The stored event has the official details only.
    """
    return {} if execution_id or not state.state_type.is_terminal else state.details


def _replayed_ending(state: str, execution_id: str, last_state: bytes | None) -> dict[str, str]:
    if last_state is None or not JobStateType(state).is_terminal:
        return {}
    return _ending(decode_exact(last_state, JobState), execution_id)


def last(connection: sqlite3.Connection) -> int:
    """Return the position of the newest row."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM history").fetchone()[0])
