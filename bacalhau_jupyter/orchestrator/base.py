"""What the orchestrator offers to the API: one service, no HTTP in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bacalhau_jupyter.models.api import (
    ListExecutionsResponse,
    ListHistoryResponse,
    ListJobsResponse,
    ListResultsResponse,
    LogFrame,
    PutJobResponse,
    RerunJobResponse,
    StopJobResponse,
)
from bacalhau_jupyter.models.history import StreamEvent
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import NodeState
from bacalhau_jupyter.models.spec import SpecConfig


@dataclass(frozen=True)
class JobQuery:
    """Filter of a job list. ``limit`` 0 means all; a token overrides order and limit."""

    namespace: str = ""
    labels: Sequence[str] = ()
    limit: int = 0
    next_token: str = ""
    order_by: str = ""
    reverse: bool = False


@dataclass(frozen=True)
class HistoryQuery:
    """Filter of a job's history. ``since`` in Unix seconds; ``version`` 0 means the latest."""

    namespace: str = ""
    version: int = 0
    all_versions: bool = False
    since: int = 0
    event_type: str = ""
    execution_id: str = ""
    limit: int = 0
    next_token: str = ""


@dataclass(frozen=True)
class ExecutionQuery:
    """Filter of a job's executions."""

    namespace: str = ""
    version: int = 0
    all_versions: bool = False
    order_by: str = ""
    reverse: bool = False
    limit: int = 0


@dataclass(frozen=True)
class LogQuery:
    """Which log stream: ``tail`` only new lines, ``follow`` until the execution ends."""

    namespace: str = ""
    execution_id: str = ""
    version: int = 0
    tail: bool = False
    follow: bool = False


@dataclass(frozen=True)
class NodeQuery:
    """Filter of the node list."""

    labels: Sequence[str] = ()
    limit: int = 0
    order_by: str = ""
    reverse: bool = False
    approval: str = ""
    status: str = ""


ResultSigner = Callable[[SpecConfig], SpecConfig]
"""Turns a stored result reference into what the caller can download (signed URL for ``local``)."""


class OrchestratorService(Protocol):
    """The orchestrator as the API sees it. ``job`` arguments are a name, an ID or a unique ID prefix.

    Every method raises `BacalhauError` subclasses with the official messages (`NotFound` "job not found: X" …).
    """

    async def submit(
        self, job: Job, *, force: bool = False, client: Mapping[str, str] | None = None
    ) -> PutJobResponse:
        """Validate, normalise, store (job, event and evaluation in one transaction), answer after the commit.

        ``client`` holds the Meta entries taken from the client's headers.
        """
        ...

    async def get_job(self, job: str, namespace: str = "", version: int = 0) -> Job: ...

    async def list_jobs(self, query: JobQuery) -> ListJobsResponse: ...

    async def versions(self, job: str, namespace: str = "") -> ListJobsResponse: ...

    async def stop(self, job: str, namespace: str = "", reason: str = "") -> StopJobResponse: ...

    async def rerun(
        self, job: str, namespace: str = "", version: int = 0, reason: str = ""
    ) -> RerunJobResponse: ...

    async def diff(self, job: Job) -> tuple[str, list[str]]: ...

    async def history(self, job: str, query: HistoryQuery) -> ListHistoryResponse: ...

    async def executions(self, job: str, query: ExecutionQuery) -> ListExecutionsResponse: ...

    async def results(self, job: str, namespace: str, sign: ResultSigner) -> ListResultsResponse: ...

    def logs(self, job: str, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        """Wait for an execution if there is none yet, then stream; errors come as a frame with ``error``."""
        ...

    def events(
        self, since: int | None, job: str = "", topics: Sequence[str] = ()
    ) -> AsyncGenerator[StreamEvent, None]:
        """Replay rows after ``since`` (None: only new ones), then go on live; a slow reader gets ResourceExhausted."""
        ...

    async def nodes(self, query: NodeQuery) -> Sequence[NodeState]: ...

    async def node(self, node_id: str) -> NodeState: ...

    async def change_node(self, node_id: str, action: str, message: str = "") -> None: ...

    async def active_jobs(self) -> int:
        """Jobs that are not over (what keeps an embedded node alive)."""
        ...
