"""The raw API: one method per official route, models in and out; its only state is a connection pool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

from bacalhau_jupyter.client.connection.calls.clusters import ClusterCalls
from bacalhau_jupyter.client.connection.calls.environments import EnvironmentCalls
from bacalhau_jupyter.client.connection.calls.hosts import HostCalls
from bacalhau_jupyter.client.connection.calls.images import ImageCalls
from bacalhau_jupyter.client.connection.calls.packages import PackageCalls
from bacalhau_jupyter.client.connection.calls.uploads import UploadCalls
from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.client.connection.roles import ORCHESTRATOR, compute_only, is_unknown_route
from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.errors import BacalhauError, Forbidden, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.explanation import Explanation
from bacalhau_jupyter.models.records.history import JobHistory, StreamEvent
from bacalhau_jupyter.models.records.node import OFFER_PATH, BuildVersionInfo, DiskUsage, NodeInfo
from bacalhau_jupyter.models.wire import api as wire

T = TypeVar("T")

_JOBS = "/api/v1/orchestrator/jobs"
_NODES = "/api/v1/orchestrator/nodes"


class AsyncAPI(Connection):
    """The routes of a Bacalhau API; see `Connection` for how it is made."""

    async def request(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: object = None,
    ) -> T:
        """Make one request and decode the answer; see `Connection.request`.

        Raises
        ------
        BacalhauError
            Also where a node that only runs jobs is asked about them: the error says what it is.
        """
        try:
            return await super().request(method, path, kind, params=params, body=body)
        except NotFound as error:
            if not (path.startswith(ORCHESTRATOR) and is_unknown_route(error)):
                raise
            reason = await compute_only(self)
            if reason is None:
                raise
            raise reason from error

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
        """Return a page of jobs; ``next_token`` of the answer asks for the next one."""
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
        """Stop a job and all that runs for it; a `Conflict` where it ended by itself."""
        body = wire.StopJobRequest(reason=reason)
        params = _params(namespace=namespace)
        return await self.request("DELETE", _job(job), wire.StopJobResponse, params=params, body=body)

    async def rerun(
        self, job: str, *, version: int = 0, namespace: str = "", reason: str = ""
    ) -> wire.RerunJobResponse:
        """Run a version of a job again."""
        body = wire.RerunJobRequest(job_version=version, namespace=namespace, reason=reason)
        return await self.request("PUT", f"{_job(job)}/rerun", wire.RerunJobResponse, body=body)

    async def delete(self, job: str, *, namespace: str = "") -> DiskUsage:
        """Delete a job that is over; return what room that made on the node (only nodes of ours do that)."""
        params = _params(namespace=namespace)
        return await self.request("DELETE", f"{_job(job)}/record", DiskUsage, params=params)

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
        """Return a page of events; ``next_token`` of the answer asks for the next one."""
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
        version: int = 0,
        all_versions: bool = False,
        limit: int = 0,
        next_token: str = "",
    ) -> list[JobHistory]:
        """Return all history there is now (at most ``limit`` rows when given), page by page."""
        rows: list[JobHistory] = []
        token = next_token
        while True:
            page = await self.history(
                job,
                namespace=namespace,
                event_type=event_type,
                execution_id=execution_id,
                version=version,
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
        next_token: str = "",
        order_by: str = "",
        reverse: bool = False,
    ) -> wire.ListExecutionsResponse:
        """Return the executions of a job."""
        params = _params(
            namespace=namespace,
            job_version=version,
            all_job_versions=all_versions,
            limit=limit,
            next_token=next_token,
            order_by=order_by,
            reverse=reverse,
        )
        return await self.request(
            "GET", f"{_job(job)}/executions", wire.ListExecutionsResponse, params=params
        )

    async def results(
        self, job: str, *, namespace: str = "", local: bool = False
    ) -> wire.ListResultsResponse:
        """Return the published results of a job; ``local``: also where they lie, if on this machine."""
        params = _params(namespace=namespace, local=local)
        return await self.request("GET", f"{_job(job)}/results", wire.ListResultsResponse, params=params)

    async def explain(self, job: str, *, namespace: str = "") -> Explanation:
        """Ask why a job waits, or how it came to run where it did; only nodes with that feature have this route."""
        params = _params(namespace=namespace)
        return await self.request("GET", f"{_job(job)}/explanation", Explanation, params=params)

    # ---- nodes and agent

    async def nodes(
        self,
        *,
        labels: str = "",
        approval: str = "",
        status: str = "",
        limit: int = 0,
        next_token: str = "",
        order_by: str = "",
        reverse: bool = False,
    ) -> wire.ListNodesResponse:
        """Return the nodes of the cluster."""
        params = _params(limit=limit, next_token=next_token, order_by=order_by, reverse=reverse)
        params += _params(**{"labels": labels, "filter-approval": approval, "filter-status": status})
        return await self.request("GET", _NODES, wire.ListNodesResponse, params=params)

    async def node(self, node_id: str) -> wire.GetNodeResponse:
        """Return one node by ID or unique ID prefix."""
        return await self.request(
            "GET", f"{_NODES}/{quote(node_id, safe='', errors='surrogateescape')}", wire.GetNodeResponse
        )

    async def change_node(self, node_id: str, action: str, message: str = "") -> wire.PutNodeResponse:
        """Approve, reject or delete a node."""
        path = f"{_NODES}/{quote(node_id, safe='', errors='surrogateescape')}"
        body = wire.PutNodeRequest(action=action, message=message, node_id=node_id)
        return await self.request("PUT", path, wire.PutNodeResponse, body=body)

    async def agent_alive(self) -> wire.AgentAliveResponse:
        """Ask whether the node answers."""
        return await self.request("GET", "/api/v1/agent/alive", wire.AgentAliveResponse)

    async def agent_version(self) -> BuildVersionInfo:
        """Return the node's version."""
        return await self.request("GET", "/api/v1/agent/version", BuildVersionInfo)

    async def agent_node(self) -> NodeInfo:
        """Return the node's description of itself."""
        return await self.request("GET", "/api/v1/agent/node", NodeInfo)

    async def offer(self) -> NodeInfo:
        """Return what the node says of itself to this caller; empty where it tells nothing (as an official one)."""
        with suppress(Forbidden):
            return await self.agent_node()
        with suppress(Forbidden, NotFound):
            return await self.request("GET", OFFER_PATH, NodeInfo)
        return NodeInfo()

    async def auth_config(self) -> dict[str, Any]:
        """Return how the cluster signs its users on."""
        return await self.request("GET", "/api/v1/agent/authconfig", dict[str, Any])

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
        version: int = 0,
        follow: bool = False,
        tail: bool = False,
    ) -> AsyncIterator[wire.LogFrame]:
        """Stream the output of a job; an error of the server is raised as one.

        Raises
        ------
        BacalhauError
            The server can't stream it, or the connection broke before the end.
        """
        params = _params(
            namespace=namespace, execution_id=execution_id, job_version=version, follow=follow, tail=tail
        )
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

    async def hold_lease(self) -> None:
        """Hold a lease on an embedded node until cancelled or the node is gone."""
        async for _ in self.websocket("/api/v1/agent/lease", []):
            pass

    # ---- parts of a node that only nodes of ours have

    async def data(self, uri: str = "", *, limit: int = 0, next_token: str = "") -> wire.ListDataResponse:
        """Return a page of what the node can read inputs from below an address; the places themselves without one."""
        params = _params(uri=uri, limit=limit, next_token=next_token)
        return await self.request("GET", "/api/v1/compute/data", wire.ListDataResponse, params=params)

    @property
    def clusters(self) -> ClusterCalls:
        """Calls about the links between the node and others (features ``cluster`` and ``join-clusters``)."""
        return ClusterCalls(self)

    @property
    def hosts(self) -> HostCalls:
        """Calls about Docker hosts elsewhere that run jobs of the node (feature ``hosts``)."""
        return HostCalls(self)

    @property
    def images(self) -> ImageCalls:
        """Calls about the images that the node keeps itself (feature ``images``)."""
        return ImageCalls(self)

    @property
    def environments(self) -> EnvironmentCalls:
        """Calls about the Python environments that jobs may see (feature ``python-environments``)."""
        return EnvironmentCalls(self)

    @property
    def packages(self) -> PackageCalls:
        """Calls about the sets of Python packages that jobs may see (feature ``python-packages``)."""
        return PackageCalls(self)

    @property
    def uploads(self) -> UploadCalls:
        """Calls that send content ahead of jobs (feature ``uploads``)."""
        return UploadCalls(self)


def _job(job: str) -> str:
    return f"{_JOBS}/{quote(job, safe='', errors='surrogateescape')}"


def _params(**values: str | int | bool) -> list[tuple[str, str]]:
    """Drop what is empty: an empty parameter means "absent" to the official server, too."""
    return [(key, "true" if value is True else str(value)) for key, value in values.items() if value]
