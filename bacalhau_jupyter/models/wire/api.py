"""Bodies of API requests and answers."""

from __future__ import annotations

from typing import Any

import msgspec

from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.history import JobHistory
from bacalhau_jupyter.models.records.node import NodeState


class PutJobRequest(Wire):
    """Submit or update a job. Only ``job`` matters; the rest is accepted for the official clients."""

    job: Job | None = None
    force: bool = False
    namespace: str = ""


class PutJobResponse(Wire):
    """IDs of the accepted job and its first evaluation."""

    job_id: str = always("")
    evaluation_id: str = always("")
    warnings: list[str] | None = always(None)


class ListJobsResponse(Wire):
    """A page of jobs; an empty token marks the last page."""

    next_token: str = always("")
    items: list[Job] = always([])


class ListHistoryResponse(Wire):
    """A page of history; the token stays set until the job is over and all is read."""

    next_token: str = always("")
    items: list[JobHistory] = always([])


class ListExecutionsResponse(Wire):
    """A page of a job's executions; an empty ``next_token`` ends the list."""

    next_token: str = always("")
    items: list[Execution] = always([])


class ListResultsResponse(Wire):
    """Published results of a job."""

    next_token: str = always("")
    items: list[SpecConfig] = always([])


class GetJobResponse(Wire):
    """A job with what ``include`` asked for."""

    job: Job = always(Job())
    history: ListHistoryResponse | None = None
    executions: ListExecutionsResponse | None = None


class StopJobRequest(Wire):
    """Why a job is stopped (lower-case on the wire)."""

    reason: str = always("", name="reason")


class StopJobResponse(Wire):
    """The evaluation that stops the job; empty when it was stopped already."""

    evaluation_id: str = always("")


class DiffJobRequest(Wire):
    """Compare a spec with the stored job of that name."""

    job: Job | None = None


class DiffJobResponse(Wire):
    """What would change, for people."""

    diff: str = always("")
    warnings: list[str] | None = always(None)


class RerunJobRequest(Wire):
    """Run a version of a job again; 0 means the latest."""

    job_version: int = 0
    reason: str = ""
    namespace: str = ""


class RerunJobResponse(Wire):
    """The new version."""

    evaluation_id: str = always("")
    job_id: str = always("")
    job_version: int = always(0)
    warnings: list[str] | None = always(None)


class ListNodesResponse(Wire):
    """A page of the nodes that the orchestrator knows, connected or not."""

    next_token: str = always("")
    nodes: list[NodeState] = always([])


class GetNodeResponse(Wire):
    """One node."""

    node: NodeState = always(NodeState())


class PutNodeRequest(Wire):
    """Approve, reject or delete a node."""

    action: str = ""
    message: str = ""
    node_id: str = ""


class PutNodeResponse(Wire):
    """Whether it was done; an official node gives the reason where it was not."""

    success: bool = always(True)
    error: str = ""


class AuthMethod(Wire):
    """How to authenticate (lower-case on the wire)."""

    type: str = always("", name="type")
    params: dict[str, Any] = always({}, name="params")


class ListAuthMethodsResponse(Wire):
    """Method name → how."""

    next_token: str = always("")
    methods: dict[str, AuthMethod] = always({})


class AuthnRequest(Wire):
    """Credentials: base64 of a JSON object whose members depend on the method."""

    name: str = ""
    method_data: str = ""


class Authentication(Wire):
    """The answer to credentials (lower-case on the wire)."""

    success: bool = always(False, name="success")
    token: str = msgspec.field(default="", name="token")
    reason: str = msgspec.field(default="", name="reason")


class AuthnResponse(Wire):
    """Wrapper of `Authentication`."""

    authentication: Authentication = always(Authentication())


class LogLine(Wire):
    """One chunk of output: ``type`` 1 = stdout, 2 = stderr; ``line`` keeps its newline."""

    type: int = always(0)
    line: str = always("")


class LogFrame(Wire):
    """One websocket text frame of a log stream (lower-case wrapper on the wire)."""

    error: str = msgspec.field(default="", name="error")
    value: LogLine = always(LogLine(), name="value")


class ResultFile(Wire):
    """One entry of a published result: ``Kind`` is ``file``, ``directory`` or ``link``."""

    path: str = always("")
    size: int = always(0)
    kind: str = always("file")
    target: str = ""


class ResultListing(Wire):
    """What one execution published; ``Problem`` is a sentence where it can't be looked into."""

    execution_id: str = always("")
    node_id: str = always("")
    type: str = always("")
    files: list[ResultFile] = always([])
    truncated: bool = always(False)
    problem: str = ""


class ListResultFilesResponse(Wire):
    """The results of a job, one listing per execution."""

    results: list[ResultListing] = always([])


class DataEntry(Wire):
    """Something that can be an input: ``Kind`` is ``file`` or ``directory``.

    ``URI`` says where it is, and asks for what lies below it. In ``-i`` a percent sign of an S3 key is escaped.
    """

    name: str = always("")
    uri: str = always("", name="URI")
    kind: str = always("file")
    size: int = always(0)
    modify_time: int = 0
    writable: bool = False


class ListDataResponse(Wire):
    """One place that this node can read inputs from, or, for an empty URI, the places themselves."""

    uri: str = always("", name="URI")
    entries: list[DataEntry] = always([])
    next_token: str = always("")


class AgentAliveResponse(Wire):
    """What a node says that serves; there is no other status."""

    status: str = always("OK")
