"""Rows of executions. The job inside an execution is not stored with it: its version's spec is."""

from __future__ import annotations

import sqlite3

from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.errors import Conflict, NotFound
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.orchestrator.scheduler.allowance import Share


def insert(connection: sqlite3.Connection, execution: Execution, holds: Resources) -> None:
    """Store a new execution and what it holds while it lives."""
    connection.execute(
        "INSERT INTO executions VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            execution.id,
            execution.job_id,
            execution.job_version,
            execution.node_id,
            not execution.is_terminal,
            holds.cpu,
            holds.memory,
            holds.disk,
            holds.gpu,
            _body(execution),
        ),
    )


def update(connection: sqlite3.Connection, execution: Execution) -> None:
    """Store a changed execution."""
    connection.execute(
        "UPDATE executions SET live=?, body=? WHERE id=?",
        (not execution.is_terminal, _body(execution), execution.id),
    )


def get(connection: sqlite3.Connection, execution_id: str) -> Execution | None:
    """Return an execution by its full ID."""
    row = connection.execute("SELECT body FROM executions WHERE id=?", (execution_id,)).fetchone()
    return None if row is None else decode_exact(row[0], Execution)


def resolve(connection: sqlite3.Connection, job_id: str, reference: str) -> str:
    """Return the full ID of an execution of a job given by ID or unique prefix.

    Raises
    ------
    NotFound
        The job has none.
    Conflict
        Several begin so.
    """
    rows = connection.execute(
        "SELECT id FROM executions WHERE id >= ? AND id < ? AND job_id = ? ORDER BY id LIMIT 2",
        (reference, reference + "\U0010ffff", job_id),
    ).fetchall()
    if not rows or not reference:
        raise NotFound(f"execution not found: {reference}")
    if len(rows) > 1 and rows[0][0] != reference:
        raise Conflict(
            f"multiple executions found for id {reference}",
            hint="Use full execution ID",
            code="MultipleExecutionsFound",
        )
    return str(rows[0][0])


def of_job(connection: sqlite3.Connection, job_id: str, version: int = 0) -> list[Execution]:
    """Return the executions of a job in the order they were made; ``version`` 0 means of all versions."""
    if version:
        rows = connection.execute(
            "SELECT body FROM executions WHERE job_id=? AND job_version=? ORDER BY rowid", (job_id, version)
        )
    else:
        rows = connection.execute("SELECT body FROM executions WHERE job_id=? ORDER BY rowid", (job_id,))
    return [decode_exact(row[0], Execution) for row in rows]


def forget(connection: sqlite3.Connection, job_id: str) -> None:
    """Remove all executions of a job."""
    connection.execute("DELETE FROM executions WHERE job_id = ?", (job_id,))


class Ended:
    """Executions of one job that have ended, decoded once: a large job is looked at often, and they change rarely."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, Execution]] = {}

    def decoded(self, row: int, body: bytes) -> Execution:
        """Return the execution of a row; the one that was decoded before, unless the row has changed."""
        digest = hash(body)
        known = self._known.get(row)
        if known is None or known[0] != digest:
            known = self._known[row] = digest, decode_exact(body, Execution)
        return known[1]


def relevant(
    connection: sqlite3.Connection, job_id: str, version: int, ended: Ended | None = None
) -> list[Execution]:
    """Return what a scheduler needs to know: all executions of the version, and older ones that still live."""
    rows = connection.execute(
        "SELECT rowid, live, body FROM executions WHERE job_id=? AND (job_version=? OR live) ORDER BY rowid",
        (job_id, version),
    )
    return [
        decode_exact(body, Execution) if live or ended is None else ended.decoded(row, body)
        for row, live, body in rows
    ]


def used(connection: sqlite3.Connection) -> dict[str, Resources]:
    """Return what the live executions of each node hold."""
    rows = connection.execute(
        "SELECT node_id, sum(cpu), sum(memory), sum(disk), sum(gpu) FROM executions WHERE live GROUP BY node_id"
    )
    return {
        str(node): Resources(cpu=round(cpu, 6), memory=memory, disk=disk, gpu=gpu)
        for node, cpu, memory, disk, gpu in rows
    }


def held(connection: sqlite3.Connection) -> list[tuple[str, str, Resources]]:
    """Return execution ID, node ID and what it holds, for each live execution."""
    rows = connection.execute("SELECT id, node_id, cpu, memory, disk, gpu FROM executions WHERE live")
    return [
        (str(identifier), str(node), Resources(cpu=cpu, memory=memory, disk=disk, gpu=gpu))
        for identifier, node, cpu, memory, disk, gpu in rows
    ]


def holders(connection: sqlite3.Connection) -> list[tuple[str, str, Resources]]:
    """Return node ID, job ID and what the job holds there, for each job with a live execution on a node."""
    rows = connection.execute(
        "SELECT node_id, job_id, sum(cpu), sum(memory), sum(disk), sum(gpu) FROM executions"
        " WHERE live GROUP BY node_id, job_id"
    )
    return [
        (str(node), str(job), Resources(cpu=round(cpu, 6), memory=memory, disk=disk, gpu=gpu))
        for node, job, cpu, memory, disk, gpu in rows
    ]


def shares(connection: sqlite3.Connection, principal: str) -> list[Share]:
    """Return what each job of a principal uses, by ID, the oldest job first."""
    rows = connection.execute(
        "SELECT e.job_id, sum(e.cpu), sum(e.memory), sum(e.disk), sum(e.gpu)"
        " FROM executions e JOIN jobs j ON j.id = e.job_id WHERE e.live AND j.principal = ?"
        " GROUP BY e.job_id ORDER BY j.create_time, e.job_id",
        (principal,),
    )
    return [
        Share(str(job), "", Resources(cpu=round(cpu, 6), memory=memory, disk=disk, gpu=gpu))
        for job, cpu, memory, disk, gpu in rows
    ]


def live_jobs(connection: sqlite3.Connection, node_id: str) -> list[str]:
    """Return the IDs of jobs with a live execution on a node."""
    rows = connection.execute("SELECT DISTINCT job_id FROM executions WHERE live AND node_id=?", (node_id,))
    return [str(row[0]) for row in rows]


def _body(execution: Execution) -> bytes:
    return encode(execution if execution.job is None else replace(execution, job=None))
