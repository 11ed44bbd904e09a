"""An orchestrator that remembers what it was asked: what the API hands on is what these tests are about."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bacalhau_jupyter.models.errors import BacalhauError, Forbidden, NotFound, ResourceExhausted
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.models.records.node import BuildVersionInfo, NodeInfo, NodeState
from bacalhau_jupyter.models.wire.api import (
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
from bacalhau_jupyter.orchestrator.base import LogQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.transfer.archive.held import HeldArchive

ANSWERS: dict[str, Callable[..., Any]] = {
    "submit": lambda *_: PutJobResponse(job_id="j-1", evaluation_id="v"),
    "get_job": lambda job, namespace, version: Job(
        id="j-1", name="<a & b>", namespace="default", type="batch", version=version or 2
    ),
    "list_jobs": lambda *_: ListJobsResponse(),
    "versions": lambda *_: ListJobsResponse(),
    "stop": lambda *_: StopJobResponse(evaluation_id="v"),
    "rerun": lambda job, *_: RerunJobResponse(evaluation_id="v", job_id=job, job_version=3),
    "delete": lambda job, *_: ["e-1", "e-2"],
    "diff": lambda *_: ("+ x", []),
    "history": lambda *_: ListHistoryResponse(),
    "executions": lambda *_: ListExecutionsResponse(),
    "results": lambda job, namespace, sign, version: ListResultsResponse(
        items=[sign(SpecConfig(type="local", params={"ExecutionID": "e-1"}))]
    ),
    "nodes": lambda *_: [NodeState()],
    "node": lambda *_: NodeState(),
    "change_node": lambda *_: None,
    "active_jobs": lambda: 0,
}
"""What each method of the orchestrator answers here, from its arguments."""


@dataclass
class Recorder:
    """Every call, in order, as ``(method, arguments…)``; ``fail`` is raised instead of answering.

    The methods are those of `Orchestrator`, with its signatures: a call that it would not take fails here, too.
    """

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    fail: Exception | None = None
    stuck: asyncio.Event | None = None
    frames: list[LogFrame | BacalhauError] = field(default_factory=list)
    endless: bool = False
    sent: int = 0
    open_streams: int = 0

    @property
    def service(self) -> Orchestrator:
        """This object, as the API takes it."""
        return cast(Orchestrator, self)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name not in ANSWERS:
            raise AttributeError(name)
        signature = inspect.signature(getattr(Orchestrator, name))

        async def method(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            _, *values = bound.arguments.values()
            self.calls.append((name, *(value for value in values if not callable(value))))
            if self.stuck is not None:
                await self.stuck.wait()
            if self.fail is not None:
                raise self.fail
            return ANSWERS[name](*values)

        return method

    async def logs(self, job: str, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        self.calls.append(("logs", job, query))
        self.open_streams += 1
        try:
            for frame in self.frames:
                if isinstance(frame, BacalhauError):
                    raise frame
                yield frame
            while self.endless:
                self.sent += 1
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

    def sign_on(self) -> dict[str, Any]:
        return {}

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

    def file(self, reference: SpecConfig) -> Path | None:
        return self.directory / f"{reference.params['ExecutionID']}.tar.gz"

    def opened(self, archive: Path) -> HeldArchive | None:
        return HeldArchive.open(archive) if archive.is_dir() else None

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        if (expires, signature) != ("9", "good"):
            raise Forbidden("the link's signature is wrong")
        path = self.directory / name
        if not path.exists():
            raise NotFound(f"there is no result {name}")
        return path
