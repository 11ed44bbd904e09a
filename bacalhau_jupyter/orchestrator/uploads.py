"""Links by which compute nodes upload results to the orchestrator's own bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bacalhau_jupyter.models.errors import BadRequest, Conflict, Forbidden
from bacalhau_jupyter.models.wire.messages import PreSignURLRequest, PreSignURLResponse
from bacalhau_jupyter.orchestrator.store import executions
from bacalhau_jupyter.orchestrator.store.store import Store

COMPONENT = "ManagedPublisher"

UploadSigner = Callable[[str, str], str]
"""Returns the link for a job ID and an execution ID; may block, raises BacalhauError."""


class Uploads:
    """Answers nodes that ask where to upload.

    Parameters
    ----------
    signer
        None where no bucket is configured.
    """

    def __init__(self, store: Store, signer: UploadSigner | None) -> None:
        self._store = store
        self._signer = signer

    async def answer(self, node_id: str, request: PreSignURLRequest) -> PreSignURLResponse:
        """Return a link for an execution of the node that asks.

        Raises
        ------
        BadRequest
            No bucket is configured, or no execution is named.
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
        execution = await self._store.read(lambda connection: executions.get(connection, identifier))
        if execution is None or (execution.node_id, execution.job_id) != (node_id, request.job_id):
            raise Forbidden(
                f"execution {identifier[:80]} of job {request.job_id[:80]} does not run on node {node_id}",
            )
        if execution.is_terminal:
            raise Conflict(
                f"execution {identifier} is over, so nothing is published for it any more",
            )
        url = await asyncio.to_thread(self._signer, request.job_id, identifier)
        return PreSignURLResponse(execution_id=identifier, job_id=request.job_id, pre_signed_url=url)
