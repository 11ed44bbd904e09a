"""Reads: lists, history, executions, results. Each is one look at what is committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.codec import decode_exact
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.selector import matches, parse_selectors
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.history import HistoryType
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.models.wire.api import (
    ListExecutionsResponse,
    ListHistoryResponse,
    ListJobsResponse,
)
from bacalhau_jupyter.orchestrator.base import ExecutionQuery, HistoryQuery, JobQuery, NodeQuery
from bacalhau_jupyter.orchestrator.pages import HistoryToken, JobToken, read_token, write_token
from bacalhau_jupyter.orchestrator.store import executions, history, jobs

COMPONENT = "APIServer"

LATEST_NS = (1 << 63) - 1
"""The last moment that the database can hold."""

HISTORY_LIMIT = 100
"""History rows on a page unless asked otherwise."""

LARGEST_PAGE = 10_000
"""Rows that one answer holds at most, whatever is asked for."""

_JOB_COLUMNS = {
    "id": "id",
    "": "create_time",
    "created_at": "create_time",
    "create_time": "create_time",
    "modified_at": "modify_time",
    "modify_time": "modify_time",
}

_LEVELS = {
    "": None,
    "all": None,
    "job": HistoryType.JOB,
    "joblevel": HistoryType.JOB,
    "execution": HistoryType.EXECUTION,
    "executionlevel": HistoryType.EXECUTION,
}


def get_job(connection: sqlite3.Connection, reference: str, namespace: str, version: int) -> Job:
    """Return a version of a job given by name, ID or prefix."""
    return jobs.version(connection, jobs.resolve(connection, reference, namespace), version)


def list_jobs(query: JobQuery) -> Callable[[sqlite3.Connection], ListJobsResponse]:
    """Check a job query and return the read that answers it.

    Raises
    ------
    BadRequest
        Unknown order, wrong selector or token.
    """
    constraints = parse_selectors(text for text in query.labels if text.strip())
    if query.next_token:
        token = read_token(query.next_token, JobToken)
        column, reverse, limit = token.column, token.reverse, token.limit
        after = (token.value, token.job_id)
        if column not in _JOB_COLUMNS.values():
            raise BadRequest(f"invalid next_token: {query.next_token!r}")
    else:
        chosen = _JOB_COLUMNS.get(query.order_by)
        if chosen is None:
            raise _bad_order(query.order_by, "id, created_at or modified_at")
        column, reverse, limit, after = chosen, query.reverse, query.limit, None
    namespace = None if query.namespace in ("", "*") else query.namespace

    def read(connection: sqlite3.Connection) -> ListJobsResponse:
        ids: list[tuple[str, int]] = []
        next_token = ""
        for job_id, labels, value in jobs.page(connection, column, reverse, after, namespace):
            if constraints and not matches(
                constraints, decode_exact(labels, dict[str, str]) if labels else {}
            ):
                continue
            if limit and len(ids) == limit:
                last_id, last_value = ids[-1]
                next_token = write_token(JobToken(column, reverse, limit, last_value, last_id))
                break
            ids.append((job_id, value))
        return ListJobsResponse(
            next_token=next_token, items=jobs.many(connection, [job_id for job_id, _ in ids])
        )

    return read


def list_history(reference: str, query: HistoryQuery) -> Callable[[sqlite3.Connection], ListHistoryResponse]:
    """Check a history query and return the read that answers it.

    The answer's token stays set until the job (or the one execution asked for) is over and its last event is in the
    answer: clients that wait for a job ask until the token is empty.
    """
    kind = query.event_type.lower()
    if kind not in _LEVELS:
        raise BadRequest(
            f"invalid event_type: {query.event_type!r}",
            hint="Use all, job or execution.",
        )
    token = read_token(query.next_token, HistoryToken) if query.next_token else None
    limit = min((token.limit if token else query.limit) or HISTORY_LIMIT, LARGEST_PAGE)
    after = token.after if token else 0

    def read(connection: sqlite3.Connection) -> ListHistoryResponse:
        job = get_job(connection, reference, query.namespace, 0)
        version = 0 if query.all_versions else query.version or job.version
        if version:
            jobs.version(connection, job.id, version)
        over = job.is_terminal or (version not in (0, job.version))
        execution_id = query.execution_id
        if execution_id:
            execution_id = executions.resolve(connection, job.id, execution_id)
            execution = executions.get(connection, execution_id)
            over = execution is None or execution.is_terminal
        rows = history.of_job(
            connection,
            job.id,
            after,
            limit + 1,
            version=version,
            level=_LEVELS[kind],
            execution_id=execution_id,
            since_ns=min(query.since * SECOND, LATEST_NS),
        )
        items = rows[:limit]
        if over and len(rows) <= limit:
            return ListHistoryResponse(next_token="", items=items)
        last = items[-1].seq_num if items else after
        return ListHistoryResponse(next_token=write_token(HistoryToken(last, limit)), items=items)

    return read


def list_executions(
    reference: str, query: ExecutionQuery
) -> Callable[[sqlite3.Connection], ListExecutionsResponse]:
    """Return the read that lists a job's executions, each with its job inside."""

    def read(connection: sqlite3.Connection) -> ListExecutionsResponse:
        job = get_job(connection, reference, query.namespace, query.version)
        matches = executions.of_job(connection, job.id, 0 if query.all_versions else job.version)
        column = _JOB_COLUMNS.get(query.order_by, "create_time")
        matches.sort(key=lambda execution: getattr(execution, column), reverse=query.reverse)
        if query.limit:
            matches = matches[: query.limit]
        specs = jobs.specs(connection, job.id, {execution.job_version for execution in matches})
        return ListExecutionsResponse(
            items=[replace(execution, job=specs.get(execution.job_version)) for execution in matches]
        )

    return read


def list_results(
    reference: str, namespace: str, version: int = 0
) -> Callable[[sqlite3.Connection], list[SpecConfig]]:
    """Return the read that lists the published results of a version of a job (0: the latest), not signed yet."""

    def read(connection: sqlite3.Connection) -> list[SpecConfig]:
        job = get_job(connection, reference, namespace, version)
        if job.is_long_running:
            raise BadRequest(f"job type {job.type} does not support results", component="Results")
        return [
            execution.published_result
            for execution in executions.of_job(connection, job.id, job.version)
            if execution.has_results
        ]

    return read


def newest_execution(executions: Sequence[Execution]) -> Execution | None:
    """Return the execution whose output a person means: the last changed one that counts, else the last one."""
    counting = [execution for execution in executions if not execution.is_discarded]
    return max(counting or executions, key=lambda execution: execution.modify_time, default=None)


def list_nodes(states: Sequence[NodeState], query: NodeQuery) -> list[NodeState]:
    """Filter and order nodes.

    Raises
    ------
    BadRequest
        Unknown order or filter, or a wrong selector.
    """
    constraints = parse_selectors(text for text in query.labels if text.strip())
    approval, status = query.approval.upper(), query.status.upper()
    if approval not in ("", "APPROVED", "PENDING", "REJECTED"):
        raise BadRequest(f"invalid filter-approval: {query.approval!r}")
    if status not in ("", "CONNECTED", "DISCONNECTED"):
        raise BadRequest(f"invalid filter-status: {query.status!r}")
    key = _NODE_ORDERS.get(query.order_by.lower())
    if key is None:
        raise _bad_order(query.order_by, ", ".join(sorted(filter(None, _NODE_ORDERS))))
    selected = [
        state
        for state in states
        if matches(constraints, state.info.labels)
        and approval in ("", state.membership.value)
        and status in ("", state.connection.value)
    ]
    selected.sort(key=key, reverse=query.reverse)
    return selected[: query.limit] if query.limit else selected


def _free(state: NodeState) -> Resources:
    return state.info.compute_node_info.available_capacity


_NODE_ORDERS: dict[str, Callable[[NodeState], tuple[str | float, ...]]] = {
    "": lambda state: (state.info.node_id,),
    "id": lambda state: (state.info.node_id,),
    "type": lambda state: (state.info.node_type.value,),
    "available_cpu": lambda state: (_free(state).cpu,),
    "available_memory": lambda state: (_free(state).memory,),
    "available_disk": lambda state: (_free(state).disk,),
    "available_gpu": lambda state: (_free(state).gpu,),
    "approval": lambda state: (state.membership.value,),
    "status": lambda state: (state.connection.value,),
}


def _bad_order(order: str, allowed: str) -> BadRequest:
    return BadRequest(f"invalid order_by: {order!r}", hint=f"Use {allowed}.")
