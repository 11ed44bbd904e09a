"""Rows of jobs and their versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.errors import Conflict, NotFound
from bacalhau_jupyter.models.jobs.job import META_TITLE, Job, JobState
from bacalhau_jupyter.models.jobs.spec import replace

_JOB = """
SELECT v.spec, j.state, j.revision, j.modify_time
FROM jobs j JOIN job_versions v ON v.job_id = j.id AND v.version = j.version
"""


def insert(connection: sqlite3.Connection, job: Job, submitted: int, principal: str = "") -> None:
    """Store a new job with its first version, and who submitted it."""
    connection.execute(
        "INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            job.id,
            job.namespace,
            job.name,
            job.type,
            job.priority,
            job.version,
            job.revision,
            encode(job.state),
            not job.is_terminal,
            _labels(job),
            job.create_time,
            job.modify_time,
            submitted,
            principal,
        ),
    )
    _insert_version(connection, job)


def update_state(connection: sqlite3.Connection, job: Job) -> None:
    """Store state, revision and time of change of a job."""
    connection.execute(
        "UPDATE jobs SET state=?, active=?, revision=?, modify_time=? WHERE id=?",
        (encode(job.state), not job.is_terminal, job.revision, job.modify_time, job.id),
    )


def replace_version(
    connection: sqlite3.Connection, old: Job, new: Job, submitted: int, principal: str = ""
) -> None:
    """Store ``new`` as the current version, and who submitted it; ``old`` keeps the state it ended with."""
    connection.execute(
        "UPDATE job_versions SET state=?, revision=?, modify_time=? WHERE job_id=? AND version=?",
        (encode(old.state), old.revision, old.modify_time, old.id, old.version),
    )
    connection.execute(
        "UPDATE jobs SET priority=?, version=?, revision=?, state=?, active=?, labels=?, modify_time=?,"
        " submit_time=?, principal=? WHERE id=?",
        (
            new.priority,
            new.version,
            new.revision,
            encode(new.state),
            not new.is_terminal,
            _labels(new),
            new.modify_time,
            submitted,
            principal,
            new.id,
        ),
    )
    _insert_version(connection, new)


def get(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """Return the current version of a job by its full ID."""
    row = connection.execute(_JOB + "WHERE j.id = ?", (job_id,)).fetchone()
    return None if row is None else _job(row)


def submitted(connection: sqlite3.Connection, job_id: str) -> int:
    """Return when the current version was submitted (Unix nanoseconds)."""
    return int(connection.execute("SELECT submit_time FROM jobs WHERE id=?", (job_id,)).fetchone()[0])


def principal(connection: sqlite3.Connection, job_id: str) -> str:
    """Return who submitted the current version; empty where that was not recorded."""
    row = connection.execute("SELECT principal FROM jobs WHERE id=?", (job_id,)).fetchone()
    return "" if row is None else str(row[0])


def by_name(connection: sqlite3.Connection, namespace: str, name: str) -> Job | None:
    """Return the current version of the job with this name."""
    row = connection.execute(_JOB + "WHERE j.namespace = ? AND j.name = ?", (namespace, name)).fetchone()
    return None if row is None else _job(row)


def resolve(connection: sqlite3.Connection, reference: str, namespace: str) -> str:
    """Return the full ID of a job given by name (in the namespace), by ID or by unique ID prefix (in any).

    Raises
    ------
    NotFound
        There is none.
    Conflict
        Several IDs begin so.
    """
    row = connection.execute(
        "SELECT id FROM jobs WHERE namespace = ? AND name = ?", (namespace or "default", reference)
    ).fetchone()
    if row is not None:
        return str(row[0])
    # IDs are ASCII, so every ID with the prefix sorts between it and it followed by the last character.
    rows = connection.execute(
        "SELECT id FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT 2",
        (reference, reference + "\U0010ffff"),
    ).fetchall()
    if not rows or not reference:
        raise NotFound(f"job not found: {reference}")
    if len(rows) > 1 and rows[0][0] != reference:
        raise Conflict(
            f"multiple jobs found for id {reference}",
            hint="Use full job ID",
            code="MultipleJobsFound",
        )
    return str(rows[0][0])


def version(connection: sqlite3.Connection, job_id: str, number: int) -> Job:
    """Return a version of a job; 0 means the current one.

    Raises
    ------
    NotFound
        The job or version does not exist.
    """
    job = get(connection, job_id)
    if job is None:
        raise NotFound(f"job not found: {job_id}")
    if number in (0, job.version):
        return job
    row = None
    # A number from outside may be too large for the database.
    if 0 < number < job.version:
        row = connection.execute(
            "SELECT spec, state, revision, modify_time FROM job_versions WHERE job_id=? AND version=?",
            (job_id, number),
        ).fetchone()
    if row is None:
        raise NotFound(f"job version {number} not found for job {job_id}")
    return _job(row)


def versions(connection: sqlite3.Connection, job_id: str) -> list[Job]:
    """Return every version of a job, oldest first, each as it was left."""
    job = get(connection, job_id)
    if job is None:
        raise NotFound(f"job not found: {job_id}")
    rows = connection.execute(
        "SELECT spec, state, revision, modify_time FROM job_versions WHERE job_id=? AND version<? ORDER BY version",
        (job_id, job.version),
    )
    return [*map(_job, rows), job]


def specs(connection: sqlite3.Connection, job_id: str, numbers: set[int]) -> dict[int, Job]:
    """Return the specs of some versions, each in the state it was submitted in."""
    return {
        number: decode_exact(row[0], Job)
        for number in numbers
        if (
            row := connection.execute(
                "SELECT spec FROM job_versions WHERE job_id=? AND version=?", (job_id, number)
            ).fetchone()
        )
        is not None
    }


def spec_bytes(connection: sqlite3.Connection, job_id: str, version: int) -> int:
    """Return the size of a version's spec as JSON; 0 if there is none."""
    row = connection.execute(
        "SELECT length(spec) FROM job_versions WHERE job_id=? AND version=?", (job_id, version)
    ).fetchone()
    return int(row[0]) if row else 0


def names(connection: sqlite3.Connection, job_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return job ID → namespace and what people call the job: its name, else its title, else its short ID."""
    known: dict[str, tuple[str, str]] = {}
    for job_id in job_ids:
        row = connection.execute(
            "SELECT j.namespace, CASE WHEN j.name <> j.id THEN j.name ELSE"
            " (SELECT json_extract(CAST(v.spec AS TEXT), ?) FROM job_versions v"
            " WHERE v.job_id = j.id AND v.version = j.version) END FROM jobs j WHERE j.id = ?",
            (f'$.Meta."{META_TITLE}"', job_id),
        ).fetchone()
        if row is not None:
            known[job_id] = str(row[0]), str(row[1] or short_id(job_id))
    return known


def active(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Return ID and priority of every job that is to be looked at, oldest first.

    These are the jobs that are not over, and those that are while an execution lives: the process may have ended
    after it stored a stop and before it could stop the execution.
    """
    rows = connection.execute(
        "SELECT id, priority FROM jobs WHERE id IN"
        " (SELECT id FROM jobs WHERE active UNION SELECT job_id FROM executions WHERE live)"
        " ORDER BY create_time, rowid"
    )
    return [(str(row[0]), int(row[1])) for row in rows]


def count_active(connection: sqlite3.Connection) -> int:
    """Return how many jobs are not over."""
    return int(connection.execute("SELECT count(*) FROM jobs WHERE active").fetchone()[0])


def unfinished_with(connection: sqlite3.Connection, texts: Sequence[str]) -> list[Job]:
    """Return the jobs that are not over and in whose specs one of some texts stands."""
    return _with(connection, "j.active", texts)


def finished_with(connection: sqlite3.Connection, texts: Sequence[str]) -> list[Job]:
    """Return the jobs that are over and in whose specs one of some texts stands."""
    return _with(connection, "NOT j.active", texts)


def _with(connection: sqlite3.Connection, condition: str, texts: Sequence[str]) -> list[Job]:
    matches = " OR ".join("instr(v.spec, ?)" for _ in texts)
    rows = connection.execute(f"{_JOB} WHERE {condition} AND ({matches})", [text.encode() for text in texts])
    return [_job(row) for row in rows]


def unfinished_executions(connection: sqlite3.Connection) -> list[str]:
    """Return the IDs of all executions, ended ones too, of jobs that are not over."""
    query = "SELECT e.id FROM executions e JOIN jobs j ON j.id = e.job_id WHERE j.active"
    return [str(row[0]) for row in connection.execute(query)]


def page(
    connection: sqlite3.Connection,
    column: str,
    reverse: bool,
    after: tuple[int, str] | None,
    namespace: str | None,
) -> sqlite3.Cursor:
    """Open a cursor over ``(id, labels, order value)`` in order, beginning after a position.

    ``column`` is ``create_time``, ``modify_time`` or ``id`` (whose order value is 0); the caller stops reading when it
    has enough.
    """
    assert column in ("create_time", "modify_time", "id")
    where: list[str] = []
    values: list[Any] = []
    if after is not None:
        beyond = "<" if reverse else ">"
        where.append(f"id {beyond} ?" if column == "id" else f"({column}, id) {beyond} (?, ?)")
        values += after[1:] if column == "id" else after
    if namespace is not None:
        where.append("namespace = ?")
        values.append(namespace)
    direction = "DESC" if reverse else "ASC"
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    value = "0" if column == "id" else column
    return connection.execute(
        f"SELECT id, labels, {value} FROM jobs {condition} ORDER BY {column} {direction}, id {direction}",
        values,
    )


def many(connection: sqlite3.Connection, ids: Sequence[str]) -> list[Job]:
    """Return the current versions of some jobs, in the order of their IDs given."""
    jobs = (get(connection, job_id) for job_id in ids)
    return [job for job in jobs if job is not None]


def forget(connection: sqlite3.Connection, job_id: str) -> None:
    """Remove a job with all its versions."""
    connection.execute("DELETE FROM job_versions WHERE job_id = ?", (job_id,))
    connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))


def _insert_version(connection: sqlite3.Connection, job: Job) -> None:
    connection.execute(
        "INSERT INTO job_versions (job_id, version, spec) VALUES (?,?,?)", (job.id, job.version, encode(job))
    )


def _job(row: tuple[bytes, bytes | None, int, int]) -> Job:
    spec, state, revision, modified = row
    job = decode_exact(spec, Job)
    if state is None:
        return job
    return replace(job, state=decode_exact(state, JobState), revision=revision, modify_time=modified)


def _labels(job: Job) -> bytes | None:
    return encode(job.labels) if job.labels else None
