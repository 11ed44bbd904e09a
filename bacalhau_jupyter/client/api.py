"""The raw API: one method per official route, models in and out, nothing remembered but a connection pool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from bacalhau_jupyter.client.listener import check_listener
from bacalhau_jupyter.models import api as wire
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, Unauthorized, error_from_envelope
from bacalhau_jupyter.models.history import JobHistory, StreamEvent
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import BuildVersionInfo, NodeInfo

if TYPE_CHECKING:
    import aiohttp

    from bacalhau_jupyter.config.endpoint import Endpoint

T = TypeVar("T")

_JOBS = "/api/v1/orchestrator/jobs"
_NODES = "/api/v1/orchestrator/nodes"
_LIST_LIMIT = 64 * 1024 * 1024


class AsyncAPI:
    """Calls a Bacalhau API. Use it on one event loop; close it at the end.

    Parameters
    ----------
    endpoint
        Where the API is and what credential to send.
    timeout_s
        Seconds an ordinary request may take.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float = 60.0) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None or self._session.closed:
            if self.endpoint.embedded:
                check_listener(self.endpoint.url)
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers=self.endpoint.headers(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: object = None,
    ) -> T:
        """Make one request and decode the answer.

        Raises
        ------
        BacalhauError
            The server answered with an error (rebuilt from its envelope) or can't be reached.
        """
        import aiohttp

        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with self._open().request(
                method,
                self.endpoint.url + path,
                params=params,
                data=encode(body) if body is not None else None,
                headers=headers,
                allow_redirects=False,
                ssl=self.endpoint.ssl(),
            ) as answer:
                data = await answer.read()
                if answer.status != 200:
                    raise _error(data, answer.status, self.endpoint.url)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self.endpoint.url, error) from error
        return decode(data, kind, f"answer of {path}")

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
        return await self.request("GET", f"{_NODES}/{quote(node_id, safe='')}", wire.GetNodeResponse)

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
        async for text in self._websocket(f"{_job(job)}/logs", params):
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
        async for text in self._websocket("/api/v1/orchestrator/events", params):
            yield decode(text, StreamEvent, "event")

    async def hold_lease(self) -> None:
        """Hold a lease on an embedded node until cancelled or the node is gone."""
        async for _ in self._websocket("/api/v1/agent/lease", []):
            pass

    async def _websocket(self, path: str, params: Sequence[tuple[str, str]]) -> AsyncIterator[str]:
        import aiohttp

        try:
            async with self._open().ws_connect(
                self.endpoint.url + path,
                params=params,
                heartbeat=30,
                max_msg_size=_LIST_LIMIT,
                ssl=self.endpoint.ssl(),
            ) as socket:
                async for message in socket:
                    if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        data = message.data
                        yield data if isinstance(data, str) else bytes(data).decode()
                    elif message.type is aiohttp.WSMsgType.ERROR:
                        raise NetworkFailure(
                            f"the stream of {path} broke: {socket.exception()}", retryable=True
                        )
                if socket.close_code != 1000:
                    raise NetworkFailure(
                        f"the stream of {path} ended early (close code {socket.close_code})", retryable=True
                    )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                raise Unauthorized(
                    f"{self.endpoint.url} does not accept this caller", hint=_KEY_HINT
                ) from error
            raise NetworkFailure(
                f"{self.endpoint.url}{path} refused the stream (HTTP {error.status})"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self.endpoint.url, error) from error

    # ---- downloads

    async def download(self, url: str, write: Any, progress: Any = None) -> int:
        """Stream a result to ``write(bytes)``; return the byte count.

        The URL is signed; no credential is sent along. ``write`` runs in a worker thread.
        """
        import aiohttp

        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=300)) as session,
                session.get(url, headers={"Accept-Encoding": "identity"}) as answer,
            ):
                if answer.status != 200:
                    raise _error(await answer.read(), answer.status, url.split("?")[0])
                done = 0
                async for chunk in answer.content.iter_chunked(1 << 20):
                    await asyncio.to_thread(write, chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress("downloading results", done, answer.content_length)
                return done
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(url.split("?")[0], error) from error


_KEY_HINT = "set BACALHAU_API_KEY to the node's key, or run as the node's own user"


def unreachable(url: str, error: BaseException) -> BacalhauError:
    """Describe a connection that failed, as one sentence with a way out."""
    if isinstance(error, BacalhauError):
        return error
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return NetworkFailure(
        f"the Bacalhau API at {url} can't be reached: {reason}",
        hint="is the node running? `bacalhau-jupyter serve` starts one; BACALHAU_API_HOST/PORT name another",
        component="Client",
        retryable=True,
    )


def _error(data: bytes, status: int, url: str) -> BacalhauError:
    if status == 401:
        return Unauthorized(f"{url} does not accept this caller", hint=_KEY_HINT)
    try:
        body = json.loads(data)
    except ValueError:
        text = data[:200].decode(errors="replace").strip()
        body = {
            "Message": f"{url} answered HTTP {status}: {text}" if text else f"{url} answered HTTP {status}"
        }
    return error_from_envelope(body if isinstance(body, dict) else {"Message": str(body)}, status)


def _job(job: str) -> str:
    return f"{_JOBS}/{quote(job, safe='')}"


def _params(**values: str | int | bool) -> list[tuple[str, str]]:
    """Drop what is empty: an empty parameter means "absent" to the official server, too."""
    return [(key, "true" if value is True else str(value)) for key, value in values.items() if value]
