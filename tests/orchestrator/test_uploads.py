"""Links to the orchestrator's bucket: for executions of the node that asks, while they live."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.wire.messages import PreSignURLRequest, PreSignURLResponse
from bacalhau_jupyter.transport.memory import MemoryTransport
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator


def link(job_id: str, execution_id: str) -> str:
    return f"http://bucket/{job_id}/{execution_id}"


async def test_a_node_gets_links_for_its_own_live_executions_and_no_others() -> None:
    async with orchestrator(transport=MemoryTransport(wire=True), upload_signer=link) as (service, transport):
        peer, other = Peer(transport, hold=True), Peer(transport, "n-2", bid=lambda _: "not me")
        await peer.join()
        await other.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.started))
        (mine,) = peer.started
        asked = PreSignURLRequest(job_id=job_id, execution_id=mine)
        answer = await peer.end.request(asked)
        assert isinstance(answer, PreSignURLResponse)
        assert (answer.job_id, answer.execution_id) == (job_id, mine)
        assert answer.pre_signed_url == link(job_id, mine)
        wrong = [
            (other, asked),
            (peer, PreSignURLRequest(job_id="j-else", execution_id=mine)),
            (peer, PreSignURLRequest(job_id=job_id, execution_id="../e")),
        ]
        for who, request in wrong:
            with pytest.raises(BacalhauError, match="does not run on node") as caught:
                await who.end.request(request)
            assert caught.value.code == "Forbidden"
        with pytest.raises(BadRequest, match="JobID and ExecutionID must be provided"):
            await peer.end.request(PreSignURLRequest(job_id=job_id))
        await service.check_expected(mine)
        with pytest.raises(BacalhauError, match="its job was deleted"):
            await service.check_expected("e-else")
        await peer.finish(mine)
        await ended(service, job_id)
        with pytest.raises(BacalhauError, match="is over") as caught:
            await peer.end.request(asked)
        assert not caught.value.retryable
        with pytest.raises(BacalhauError, match="is over"):
            await service.check_expected(mine)
