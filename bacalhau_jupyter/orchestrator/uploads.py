"""Links by which compute nodes upload results to where the orchestrator keeps them: its bucket, or its own disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable

from bacalhau_jupyter.models.errors import BadRequest, Conflict, Forbidden, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.messages import PreSignURLRequest, PreSignURLResponse
from bacalhau_jupyter.orchestrator.peers import late
from bacalhau_jupyter.orchestrator.store import executions
from bacalhau_jupyter.orchestrator.store.store import Store

COMPONENT = "ManagedPublisher"
TYPE = "s3managed"

UploadSigner = Callable[[str, str], str]
"""Returns the link for a job ID and an execution ID; may block, raises BacalhauError."""

UploadProblem = Callable[[], str]
"""Returns why no link would lead anywhere, one sentence; empty when one does."""

HINT = (
    "set API.AdvertisedAddress to the name of this machine, or Publishers.Types.S3Managed.Bucket and .Region"
)


def no_problem() -> str:
    """Say that links lead somewhere (an `UploadProblem`)."""
    return ""


class Uploads:
    """Answers nodes that ask where to upload.

    Parameters
    ----------
    signer
        None where there is no place for results.
    problem
        Why nodes of other machines could not reach that place.
    signer_here
        Signs links for nodes of this machine where those for others lead elsewhere, or nowhere.
    """

    def __init__(
        self,
        store: Store,
        signer: UploadSigner | None,
        problem: UploadProblem = no_problem,
        signer_here: UploadSigner | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._problem = problem
        self._signer_here = signer_here

    def check(self, job: Job) -> None:
        """Refuse a job whose results no far node could upload: each would find that out when its work is done.

        Raises
        ------
        BadRequest
            Its publisher is the orchestrator's, and has no address for nodes.
        """
        if problem := self.problem_of(job):
            raise BadRequest(problem, hint=HINT)

    def problem_of(self, job: Job) -> str:
        """Say why nodes of other machines could not upload the results of a job; empty where they can, or need not."""
        return self._problem() if any(task.publisher.is_type(TYPE) for task in job.tasks) else ""

    async def check_expected(self, execution_id: str) -> None:
        """Refuse results that no job wants.

        Raises
        ------
        NotFound
            The execution's job was deleted.
        Conflict
            The execution is over.
        """
        execution, is_awaited = await self._look_up(execution_id)
        if execution is None:
            raise NotFound(f"there is no execution {execution_id[:80]}: its job was deleted")
        if not is_awaited:
            raise _is_over(execution_id)

    async def answer(
        self, node_id: str, request: PreSignURLRequest, *, is_here: bool = False
    ) -> PreSignURLResponse:
        """Return a link for an execution of the node that asks.

        Parameters
        ----------
        is_here
            Whether the node runs on this machine.

        Raises
        ------
        BadRequest
            There is no place for results, or no execution is named.
        Forbidden, Conflict
            The execution is not the node's, or is over: a link would let it replace what others published.
        BacalhauError
            The signer can't sign.
        """
        if self._signer is None:
            raise BadRequest(
                "Managed S3 publisher is not available",
                hint="set Publishers.Types.S3Managed.Bucket and .Region on the orchestrator",
            )
        if not request.job_id or not request.execution_id:
            raise BadRequest("JobID and ExecutionID must be provided")
        identifier = request.execution_id
        execution, is_awaited = await self._look_up(identifier)
        if execution is None or (execution.node_id, execution.job_id) != (node_id, request.job_id):
            raise Forbidden(
                f"execution {identifier[:80]} of job {request.job_id[:80]} does not run on node {node_id}",
            )
        if not is_awaited:
            raise _is_over(identifier)
        signer = self._signer
        if problem := self._problem():
            if not is_here or self._signer_here is None:
                raise BadRequest(problem, hint=HINT)
            signer = self._signer_here
        url = await asyncio.to_thread(signer, request.job_id, identifier)
        return PreSignURLResponse(execution_id=identifier, job_id=request.job_id, pre_signed_url=url)

    async def _look_up(self, execution_id: str) -> tuple[Execution | None, bool]:
        """Return an execution, and whether a result of it may still come."""

        def look_up(connection: sqlite3.Connection) -> tuple[Execution | None, bool]:
            execution = executions.get(connection, execution_id)
            return execution, execution is not None and late.is_awaited(connection, execution)

        return await self._store.read(look_up)


def _is_over(execution_id: str) -> Conflict:
    return Conflict(f"execution {execution_id} is over, so nothing is published for it any more")
