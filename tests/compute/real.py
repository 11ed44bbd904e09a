"""A compute node over an engine that really runs something, for the tests that need one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.models.wire.messages import ComputeError, RunResult
from bacalhau_jupyter.plugins.registry import load_engines
from tests.compute.makers import an_output, make_execution, make_task
from tests.compute.peer import Bench
from tests.services.common import in_ci
from tests.services.waiting import until

STUB = SpecConfig(type="stub")
LONG_S = 60.0
ENGINES = ["process", pytest.param("docker", marks=pytest.mark.docker)]


def image_for(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the image of a fixture's parameter, and name the Docker Engine that runs it; empty without docker."""
    if request.param != "docker":
        return ""
    monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker_engine"))
    image: str = request.getfixturevalue("busybox_image")
    return image


async def works_or_skip(bench: Bench, engine: str) -> None:
    """Wait until an engine has said whether it works; where it does not, stop the node and skip (in CI: fail)."""

    def problem() -> str:
        return bench.node.info().compute_node_info.engine_problems.get(engine, "")

    # A node waits two seconds for it as it starts, which is not always enough on a busy machine.
    await until(lambda: problem() != "it has not answered yet")
    if reason := problem():
        await bench.stop()
        if in_ci():
            pytest.fail(f"{engine} does not work here: {reason}", pytrace=False)
        pytest.skip(reason)


@asynccontextmanager
async def running(bench: Bench, engine: str) -> AsyncIterator[None]:
    """Run a node, and cancel what still runs at the end; skip (in CI: fail) where its engine does not work."""
    await bench.peer.serve()
    await bench.start()
    await works_or_skip(bench, engine)
    yield
    for record in bench.node.live():
        await bench.peer.cancel(record.execution)
    await bench.idle()
    await bench.stop()


class RealBench(Bench):
    """A bench with one real engine, made anew at each start as a new process would."""

    def __init__(self, directory: Path, kind: str, image: str, **settings: object) -> None:
        super().__init__(directory, probe_timeout_s=30.0, cancel_timeout_s=30.0, **settings)
        self.kind, self.image = kind, image

    async def start(self) -> None:
        others = {"docker", "noop", "process"} - {self.kind}
        loaded = load_engines(self.options(), others, entries=())
        assert not loaded.problems
        self.extra_engines = loaded.plugins
        await super().start()

    def shell(self, script: str, **members: Any) -> Task:
        if self.kind == "docker":
            params = {"Image": self.image, "Entrypoint": ["/bin/sh", "-c", script], "WorkingDirectory": "/"}
        else:
            params = {"Command": ["/bin/sh", "-c", script]}
        return make_task(self.kind, params, result_paths=[an_output()], publisher=STUB, **members)


async def ends(node: Bench) -> RunResult | ComputeError:
    async with asyncio.timeout(LONG_S):
        message = await node.peer.inbox.get()
    assert isinstance(message, (RunResult, ComputeError))
    return message


async def begin(node: Bench, task: Task) -> Any:
    execution = make_execution(task)
    bid = await node.peer.bid(execution)
    assert bid.accepted, bid.events
    await node.peer.accept(execution)
    return execution
