"""Results that come by PUT: through the API of a node, which looks at every link and at the job behind it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.publishers.received import ReceivedResults
from bacalhau_jupyter.publishers.retention import Rules
from tests.node.test_node import JOBS, client, noop
from tests.services.node import running_node
from tests.services.waiting import found, until

MakeConfig = Callable[..., Config]


def archive(text: bytes) -> bytes:
    """Return an archive of a result that printed a text."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as file:
        member = tarfile.TarInfo("stdout")
        member.size = len(text)
        file.addfile(member, io.BytesIO(text))
    return packed.getvalue()


@asynccontextmanager
async def running_job(node: Node, session: aiohttp.ClientSession) -> AsyncIterator[tuple[str, str]]:
    """Run a job that does not end by itself; yield its ID and that of its execution."""
    body = noop(Engine={"Type": "noop", "Params": {"Sleep": 600}})
    async with session.put(JOBS, json=body) as answer:
        job = str((await answer.json())["JobID"])

    async def runs() -> bool:
        return any(each["ComputeState"]["StateType"] >= 5 for each in await executions(session, job))

    await until(runs)
    (item,) = await executions(session, job)
    yield job, item["ID"]


async def executions(session: aiohttp.ClientSession, job: str) -> list[dict[str, Any]]:
    async with session.get(f"{JOBS}/{job}/executions") as answer:
        items: list[dict[str, Any]] = (await answer.json())["Items"]
        return items


def link_of(node: Node, execution: str) -> str:
    """Return a link as the orchestrator signs it for the node of an execution."""
    place = settings.received_dir(node.config, node.repo)
    signer = ReceivedResults(
        place,
        node.repo.signing_key(),
        600.0,
        Rules(0, 0.0, 0.0),
        min_free=0,
        clock=SystemClock(),
        free=lambda path: 0,
    )
    return signer.url(execution, node.url)


async def put(url: str, data: Any, **headers: str) -> tuple[int, str]:
    async with aiohttp.request("PUT", url, data=data, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_a_link_takes_one_archive_of_one_execution(node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        async with running_job(node, session) as (job, execution):
            url = link_of(node, execution)
            parts = urlsplit(url)
            assert parts.path == f"/api/v1/compute/results/{execution}.tar.gz"
            sent = archive(b"from afar\n")
            refused = [
                (403, url.replace(execution, "e-11111111-1111-4111-8111-111111111111")),
                (403, url.partition("?")[0]),
                (403, url.replace("expires=", "expires=1")),
                (403, url.replace(f"{execution}.tar.gz", f"..%2f{execution}.tar.gz")),
                (404, url.replace(f"{execution}.tar.gz", f"x/..%2f..%2f{execution}.tar.gz")),
            ]
            for status, other in refused:
                assert (await put(other, sent))[0] == status, other
            # Who may send a result may not read it by that.
            async with aiohttp.request("GET", url) as answer:
                assert answer.status == 403

            async def piecemeal() -> AsyncIterator[bytes]:
                yield sent

            assert (await put(url, piecemeal()))[0] == 411
            assert (await put(url, sent, **{"Content-Encoding": "gzip"}))[0] in (400, 415)
            assert await put(url, sent, **{"Content-Type": "application/octet-stream"}) == (200, "")
            assert await put(url, sent) == (200, "")
            status, said = await put(url, archive(b"something else, and longer\n"))
            assert (status, "other results already" in said) == (409, True)
        # The job is over, and deleted: the link leads nowhere.
        async with session.delete(f"{JOBS}/{job}") as answer:
            assert answer.status == 200

        async def is_over() -> bool:
            return all(each["ComputeState"]["StateType"] > 7 for each in await executions(session, job))

        await until(is_over)
        status, said = await put(url, sent)
        assert (status, "is over" in said) == (409, True)
        kept = settings.received_dir(node.config, node.repo)
        assert [path.name for path in found(kept, "*.tar.gz")] == [f"{execution}.tar.gz"]
        async with session.delete(f"{JOBS}/{job}/record") as answer:
            assert (answer.status, (await answer.json())["Count"]) == (200, 1)
        assert found(kept, "*.tar.gz") == []
        status, said = await put(url, sent)
        assert (status, "its job was deleted" in said) == (404, True)
