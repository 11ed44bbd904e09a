"""How the publishers of this node reach the place where their orchestrator keeps results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.models.wire.messages import PreSignURLRequest, PreSignURLResponse
from bacalhau_jupyter.transfer.s3.links.managed import ManagedBucket
from bacalhau_jupyter.transport.base import ComputeTransport


class OrchestratorUploads:
    """Asks the orchestrator for links (`plugins.engine.UploadLinks`).

    Parameters
    ----------
    transport
        The compute node's end.
    bucket
        That of the orchestrator in this process; None without one, and for an orchestrator elsewhere.
    keep
        Takes the archive of an execution where the orchestrator of this process keeps results on its own disk.
    """

    def __init__(
        self,
        transport: ComputeTransport,
        bucket: ManagedBucket | None,
        keep: Callable[[str, Path], Awaitable[None]] | None = None,
    ) -> None:
        self._transport = transport
        self._bucket = bucket
        self._keep = keep

    async def problem(self) -> str:
        """Ask the orchestrator's signer where it is in this process; elsewhere only a job finds out."""
        if self._bucket is None:
            return ""
        return await asyncio.to_thread(self._bucket.problem)

    async def link(self, job_id: str, execution_id: str) -> str:
        """Ask by message, as a node elsewhere would."""
        answer = await self._transport.request(PreSignURLRequest(job_id=job_id, execution_id=execution_id))
        if not isinstance(answer, PreSignURLResponse) or not answer.pre_signed_url:
            raise Conflict("the orchestrator answered without an upload link", component="ManagedPublisher")
        return answer.pre_signed_url

    async def keep(self, execution_id: str, archive: Path) -> bool:
        """Hand an archive over where both sides have one disk."""
        if self._keep is None:
            return False
        await self._keep(execution_id, archive)
        return True
