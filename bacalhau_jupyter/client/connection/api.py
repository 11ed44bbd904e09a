"""The raw API: one method per official route, models in and out; its only state is a connection pool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models import api as wire
from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.environments import PATH as ENVIRONMENTS
from bacalhau_jupyter.models.environments import (
    ListEnvironmentsResponse,
    PythonDescription,
    RegisteredEnvironment,
)
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.history import JobHistory, StreamEvent
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import BuildVersionInfo, NodeInfo

_JOBS = "/api/v1/orchestrator/jobs"
_NODES = "/api/v1/orchestrator/nodes"


class AsyncAPI(Connection):
    """The routes of a Bacalhau API; see `Connection` for how it is made."""

    # ---- jobs

    async def submit(self, job: Job, *, force: bool = False) -> wire.PutJobResponse:
        """Submit or update a job."""
        body = wire.PutJobRequest(job=job, force=force)
        return await self.request("PUT", _JOBS, wire.PutJobResponse, body=body)

    async def get_job(
        self, job: str, *, namespace: str = "", include: str = "", version: int = 0
    ) -> wire.GetJobResponse:
        """Return a job, optionally with history and executions."""
        params = _params(namespace=namespace, include=include, job_version=version)
        return await self.request("GET", _job(job), wire.GetJobResponse, params=params)

    async def list_jobs(
        self,
        *,
        namespace: str = "",
        labels: Sequence[str] = (),
        limit: int = 0,
        next_token: str = "",
        order_by: str = "",
        reverse: bool = False,
    ) -> wire.ListJobsResponse:
        """Return a page of jobs."""
        params = _params(
            namespace=namespace, limit=limit, next_token=next_token, order_by=order_by, reverse=reverse
        )
        params += [("labels", label) for label in labels]
        return await self.request("GET", _JOBS, wire.ListJobsResponse, params=params)

    async def versions(self, job: str, *, namespace: str = "") -> wire.ListJobsResponse:
        """Return all versions of a job, oldest first."""
        return await self.request(
            "GET", f"{_job(job)}/versions", wire.ListJobsResponse, params=_params(namespace=namespace)
        )

    async def stop(self, job: str, *, namespace: str = "", reason: str = "") -> wire.StopJobResponse:
        """Stop a job."""
        body = wire.StopJobRequest(reason=reason)
        params = _params(namespace=namespace)
        return await self.request("DELETE", _job(job), wire.StopJobResponse, params=params, body=body)

    async def rerun(
        self, job: str, *, version: int = 0, namespace: str = "", reason: str = ""
    ) -> wire.RerunJobResponse:
        """Run a version of a job again."""
        body = wire.RerunJobRequest(job_version=version, namespace=namespace, reason=reason)
        return await self.request("PUT", f"{_job(job)}/rerun", wire.RerunJobResponse, body=body)

    async def diff(self, job: Job) -> wire.DiffJobResponse:
        """Compare a spec with the stored job of that name."""
        return await self.request(
            "PUT", f"{_JOBS}/diff", wire.DiffJobResponse, body=wire.DiffJobRequest(job=job)
        )

    async def history(
        self,
        job: str,
        *,
        namespace: str = "",
        event_type: str = "all",
        execution_id: str = "",
        version: int = 0,
        all_versions: bool = False,
        limit: int = 0,
        next_token: str = "",
    ) -> wire.ListHistoryResponse:
        """Return a page of history."""
        params = _params(
            namespace=namespace,
            event_type=event_type,
            execution_id=execution_id,
            job_version=version,
            all_job_versions=all_versions,
            limit=limit,
            next_token=next_token,
        )
        return await self.request("GET", f"{_job(job)}/history", wire.ListHistoryResponse, params=params)

    async def full_history(
        self,
        job: str,
        *,
        namespace: str = "",
        event_type: str = "all",
        execution_id: str = "",
        all_versions: bool = False,
        limit: int = 0,
    ) -> list[JobHistory]:
        """Return all history there is now (at most ``limit`` rows when given), page by page."""
        rows: list[JobHistory] = []
        token = ""
        while True:
            page = await self.history(
                job,
                namespace=namespace,
                event_type=event_type,
                execution_id=execution_id,
                all_versions=all_versions,
                limit=min(limit, 100) or 100,
                next_token=token,
            )
            rows += page.items
            token = page.next_token
            if not token or not page.items or (limit and len(rows) >= limit):
                return rows[:limit] if limit else rows

    async def executions(
        self,
        job: str,
        *,
        namespace: str = "",
        version: int = 0,
        all_versions: bool = False,
        limit: int = 0,
        order_by: str = "",
        reverse: bool = False,
    ) -> wire.ListExecutionsResponse:
        """Return the executions of a job."""
        params = _params(
            namespace=namespace,
            job_version=version,
            all_job_versions=all_versions,
            limit=limit,
            order_by=order_by,
            reverse=reverse,
        )
        return await self.request(
            "GET", f"{_job(job)}/executions", wire.ListExecutionsResponse, params=params
        )

    async def results(self, job: str, *, namespace: str = "") -> wire.ListResultsResponse:
        """Return the published results of a job."""
        params = _params(namespace=namespace)
        return await self.request("GET", f"{_job(job)}/results", wire.ListResultsResponse, params=params)

    # ---- nodes and agent

    async def nodes(
        self,
        *,
        labels: str = "",
        approval: str = "",
        status: str = "",
        limit: int = 0,
        order_by: str = "",
        reverse: bool = False,
    ) -> wire.ListNodesResponse:
        """Return the nodes of the cluster."""
        params = _params(limit=limit, order_by=order_by, reverse=reverse)
        params += _params(**{"labels": labels, "filter-approval": approval, "filter-status": status})
        return await self.request("GET", _NODES, wire.ListNodesResponse, params=params)

    async def node(self, node_id: str) -> wire.GetNodeResponse:
        """Return one node by ID or unique ID prefix."""
        return await self.request(
            "GET", f"{_NODES}/{quote(node_id, safe='', errors='surrogateescape')}", wire.GetNodeResponse
        )

    async def agent_alive(self) -> wire.AgentAliveResponse:
        """Ask whether the node answers."""
        return await self.request("GET", "/api/v1/agent/alive", wire.AgentAliveResponse)

    async def agent_version(self) -> BuildVersionInfo:
        """Return the node's version."""
        return await self.request("GET", "/api/v1/agent/version", BuildVersionInfo)

    async def agent_node(self) -> NodeInfo:
        """Return the node's description of itself."""
        return await self.request("GET", "/api/v1/agent/node", NodeInfo)

    async def agent_config(self) -> dict[str, Any]:
        """Return the node's effective configuration, secrets masked."""
        return await self.request("GET", "/api/v1/agent/config", dict[str, Any])

    # ---- streams

    async def logs(
        self,
        job: str,
        *,
        namespace: str = "",
        execution_id: str = "",
        follow: bool = False,
        tail: bool = False,
    ) -> AsyncIterator[wire.LogFrame]:
        """Stream the output of a job; an error of the server is raised as one.

        Raises
        ------
        BacalhauError
            The server can't stream it, or the connection broke before the end.
        """
        params = _params(namespace=namespace, execution_id=execution_id, follow=follow, tail=tail)
        async for text in self.websocket(f"{_job(job)}/logs", params):
            frame = decode(text, wire.LogFrame, "log frame")
            if frame.error:
                raise BacalhauError(frame.error, component="Logs")
            yield frame

    async def events(
        self, *, since: int | None = None, job: str = "", topics: Sequence[str] = ()
    ) -> AsyncIterator[StreamEvent]:
        """Stream events; only nodes that list the feature ``events`` have this route."""
        params = _params(job=job) + [("topic", topic) for topic in topics]
        if since is not None:
            params.append(("since", str(since)))
        async for text in self.websocket("/api/v1/orchestrator/events", params):
            yield decode(text, StreamEvent, "event")

    async def environments(self) -> ListEnvironmentsResponse:
        """Return the Python environments that jobs may see; only nodes with that feature have this route."""
        return await self.request("GET", ENVIRONMENTS, ListEnvironmentsResponse)

    async def register_environment(self, description: PythonDescription) -> RegisteredEnvironment:
        """Register a Python environment of this machine; as `environments`, and for the node's own user only."""
        return await self.request("POST", ENVIRONMENTS, RegisteredEnvironment, body=description)

    async def hold_lease(self) -> None:
        """Hold a lease on an embedded node until cancelled or the node is gone."""
        async for _ in self.websocket("/api/v1/agent/lease", []):
            pass


def _job(job: str) -> str:
    return f"{_JOBS}/{quote(job, safe='', errors='surrogateescape')}"


def _params(**values: str | int | bool) -> list[tuple[str, str]]:
    """Drop what is empty: an empty parameter means "absent" to the official server, too."""
    return [(key, "true" if value is True else str(value)) for key, value in values.items() if value]
