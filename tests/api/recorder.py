"""An orchestrator that remembers what it was asked: what the API hands on is what these tests are about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.api import (
    ListExecutionsResponse,
    ListHistoryResponse,
    ListJobsResponse,
    ListResultsResponse,
    LogFrame,
    LogLine,
    PutJobResponse,
    RerunJobResponse,
    StopJobResponse,
)
from bacalhau_jupyter.models.errors import BacalhauError, Forbidden, NotFound, ResourceExhausted
from bacalhau_jupyter.models.history import StreamEvent
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import BuildVersionInfo, NodeInfo, NodeState
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.orchestrator.base import (
    ExecutionQuery,
    HistoryQuery,
    JobQuery,
    LogQuery,
    NodeQuery,
    ResultSigner,
)


@dataclass
class Recorder:
    """Every call, in order, as ``(method, arguments…)``; ``fail`` is raised instead of answering."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    fail: Exception | None = None
    stuck: asyncio.Event | None = None
    frames: list[LogFrame | BacalhauError] = field(default_factory=list)
    endless: bool = False
    open_streams: int = 0

    async def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if self.stuck is not None:
            await self.stuck.wait()
        if self.fail is not None:
            raise self.fail

    async def submit(
        self, job: Job, *, force: bool = False, client: Mapping[str, str] | None = None
    ) -> PutJobResponse:
        await self._note("submit", job, force, dict(client or {}))
        return PutJobResponse(job_id="j-1", evaluation_id="v")

    async def get_job(self, job: str, namespace: str = "", version: int = 0) -> Job:
        await self._note("get_job", job, namespace, version)
        return Job(id="j-1", name="<a & b>", namespace="default", type="batch", version=version or 2)

    async def list_jobs(self, query: JobQuery) -> ListJobsResponse:
        await self._note("list_jobs", query)
        return ListJobsResponse()

    async def versions(self, job: str, namespace: str = "") -> ListJobsResponse:
        await self._note("versions", job, namespace)
        return ListJobsResponse()

    async def stop(self, job: str, namespace: str = "", reason: str = "") -> StopJobResponse:
        await self._note("stop", job, namespace, reason)
        return StopJobResponse(evaluation_id="v")

    async def rerun(
        self, job: str, namespace: str = "", version: int = 0, reason: str = ""
    ) -> RerunJobResponse:
        await self._note("rerun", job, namespace, version, reason)
        return RerunJobResponse(evaluation_id="v", job_id=job, job_version=3)

    async def diff(self, job: Job) -> tuple[str, list[str]]:
        await self._note("diff", job)
        return "+ x", []

    async def history(self, job: str, query: HistoryQuery) -> ListHistoryResponse:
        await self._note("history", job, query)
        return ListHistoryResponse()

    async def executions(self, job: str, query: ExecutionQuery) -> ListExecutionsResponse:
        await self._note("executions", job, query)
        return ListExecutionsResponse()

    async def results(self, job: str, namespace: str, sign: ResultSigner) -> ListResultsResponse:
        await self._note("results", job, namespace)
        return ListResultsResponse(items=[sign(SpecConfig(type="local", params={"ExecutionID": "e-1"}))])

    async def logs(self, job: str, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        self.calls.append(("logs", job, query))
        self.open_streams += 1
        try:
            for frame in self.frames:
                if isinstance(frame, BacalhauError):
                    raise frame
                yield frame
            while self.endless:
                yield LogFrame(value=LogLine(type=1, line="x" * 65536))
            if self.stuck is not None:
                await self.stuck.wait()
        finally:
            self.open_streams -= 1

    async def events(
        self, since: int | None, job: str = "", topics: Sequence[str] = ()
    ) -> AsyncGenerator[StreamEvent, None]:
        self.calls.append(("events", since, job, tuple(topics)))
        yield StreamEvent(seq=7, topic="Submission", job="j-1")
        raise ResourceExhausted("the reader is too slow")

    async def nodes(self, query: NodeQuery) -> Sequence[NodeState]:
        await self._note("nodes", query)
        return [NodeState()]

    async def node(self, node_id: str) -> NodeState:
        await self._note("node", node_id)
        return NodeState()

    async def change_node(self, node_id: str, action: str, message: str = "") -> None:
        await self._note("change_node", node_id, action, message)

    async def active_jobs(self) -> int:
        return 0


class Agent:
    """A node that only has a name."""

    instance_id = "instance-1"

    def __init__(self) -> None:
        self.leases = 0

    def version(self) -> BuildVersionInfo:
        return BuildVersionInfo(
            major="1", minor="9", git_version="v1.9.3", git_commit="c", build_date="1970-01-01T00:00:00Z"
        )

    def node_info(self) -> NodeInfo:
        return NodeInfo(node_id="n-test", features=["events"])

    def config(self) -> dict[str, Any]:
        return {"API": {"Port": 1234}}

    def debug(self) -> dict[str, Any]:
        return {}

    def lease(self) -> AbstractContextManager[None]:
        @contextmanager
        def held() -> Any:
            self.leases += 1
            try:
                yield
            finally:
                self.leases -= 1

        return held()


class Links:
    """Signs with the word ``good``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        url = f"{base_url}/api/v1/compute/results/{reference.params['ExecutionID']}.tar.gz?expires=9&signature=good"
        return SpecConfig(type="urlDownload", params={"URL": url})

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        if (expires, signature) != ("9", "good"):
            raise Forbidden("the link's signature is wrong")
        path = self.directory / name
        if not path.is_file():
            raise NotFound(f"there is no result {name}")
        return path
