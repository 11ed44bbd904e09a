"""A compute node whose Docker Engine lies behind a way that a test can break."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.files.placement import Placement
from bacalhau_jupyter.engines.docker.gate import DockerLink
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.wire.messages import (
    ComputeError,
    ControlRequest,
    ExecutionLogsRequest,
    HandshakeRequest,
    RunResult,
    UpdateNodeInfoRequest,
)
from tests.compute.makers import an_output, make_execution, make_task
from tests.compute.peer import Bench
from tests.engines.docker.cut_link import CutLink
from tests.services import docker_engine as services
from tests.services import leaks
from tests.services.waiting import until

LONG_S = 240.0
"""A far engine that was sending when packets vanished holds the container for about as long again (decision 0122)."""
STUB = SpecConfig(type="stub")
HELD = "until [ -e /outputs/go ]; do sleep 0.2; done"
"""Waits in a task for `FarBench.let_go`, so that it ends when the test says so, and not before."""


class FarBench(Bench):
    """A bench with one engine behind a link, made anew at each start as a new process would; the link stays."""

    def __init__(
        self, directory: Path, engine_url: str, image: str, link: DockerLink | None = None, **settings: Any
    ) -> None:
        defaults: dict[str, Any] = {"probe_timeout_s": 5.0, "cancel_timeout_s": 5.0}
        node_id = leaks.owns(f"n-{uuid.uuid4()}")
        super().__init__(directory, node_id=node_id, **(defaults | settings))
        self.engine_url, self.image = engine_url, image
        self.link = CutLink(directory, engine_url)
        self.way: DockerLink = link or self.link

    async def start(self) -> None:
        engine = DockerEngine(self.options(), placement=Placement.ARCHIVE, link=self.way)
        self.extra_engines = {"docker": engine}
        await super().start()

    def shell(self, script: str, **members: Any) -> Task:
        """A task that writes into its one result path."""
        params = {"Image": self.image, "Entrypoint": ["/bin/sh", "-c", script], "WorkingDirectory": "/"}
        return make_task(
            "docker",
            params,
            result_paths=[an_output()],
            publisher=STUB,
            network=NetworkConfig(type=NetworkType.NONE),
            **members,
        )

    async def begin(self, task: Task) -> Execution:
        """Have a task accepted, once the node knows its engine: that may answer late."""
        await until(lambda: "docker" in (self.node.info().compute_node_info.execution_engines or ()))
        execution = make_execution(task, node_id=self.node_id)
        bid = await self.peer.bid(execution)
        assert bid.accepted, bid.events
        await self.peer.accept(execution)
        return execution

    async def prints(self, execution: Execution, line: str) -> None:
        """Wait until a task has printed a line."""
        request = ExecutionLogsRequest(execution_id=execution.id, node_id=self.node_id, follow=True)
        async with asyncio.timeout(LONG_S):
            async for frame in self.peer.end.logs(request):
                if line in frame.value.line:
                    return
        raise AssertionError(f"{line!r} was not printed")

    async def ends(self) -> RunResult | ComputeError:
        """Return what is told of the end."""
        async with asyncio.timeout(LONG_S):
            message = await self.peer.inbox.get()
        assert isinstance(message, (RunResult, ComputeError))
        return message

    async def stays_away(self, seconds: float) -> None:
        """Leave the way broken for a time, in which nothing may be told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                message = await self.peer.inbox.get()
                raise AssertionError(f"told while away: {message}")

    async def info(self, words: str) -> NodeInfo:
        """Wait until the orchestrator was told node info that holds some words."""
        async with asyncio.timeout(LONG_S), self.peer.heard:
            # Heartbeats come in between.
            await self.peer.heard.wait_for(lambda: words in str(self._told()))
        return self.node.info()

    def _told(self) -> ControlRequest:
        kinds = (HandshakeRequest, UpdateNodeInfoRequest)
        return next(it for it in reversed(self.peer.control) if isinstance(it, kinds))

    async def let_go(self) -> None:
        """Let the one task go on that waits, not by the way that a test can break."""
        (container,) = await asyncio.to_thread(self.containers)
        await asyncio.to_thread(services.touch, self.engine_url, container["Id"], "/outputs/go")

    def containers(self) -> list[dict[str, Any]]:
        """What the Docker Engine itself says of this node's containers, without their carriers."""
        client = services.client(self.engine_url)
        try:
            label = f"bacalhau-executor={self.node_id}"
            summaries = client.api.containers(all=True, filters={"label": label})
            every = services.inspections(client.api, summaries)
            return [each for each in every if each["Name"].endswith("-executor")]
        finally:
            client.close()

    def left(self) -> list[str]:
        """Names of all containers and volumes that the engine has of this node."""
        client = services.client(self.engine_url)
        try:
            ours = {"label": f"bacalhau-executor={self.node_id}"}
            containers = client.api.containers(all=True, filters=ours)
            volumes = client.api.volumes(filters=ours)["Volumes"] or []
            # Inputs stay there for the next job that has the same.
            own = [item["Name"] for item in volumes if "-kept-" not in item["Name"]]
            return [item["Names"][0] for item in containers] + own
        finally:
            client.close()

    def forget_inputs(self) -> None:
        """Remove what the engine keeps of inputs."""
        client = services.client(self.engine_url)
        try:
            ours = {"label": f"bacalhau-executor={self.node_id}"}
            for volume in client.api.volumes(filters=ours)["Volumes"] or []:
                client.api.remove_volume(volume["Name"])
        finally:
            client.close()

    async def ended(self, execution: Execution) -> None:
        """Wait, by the Docker Engine's own word, until a container has ended."""
        client = services.client(self.engine_url, timeout_s=LONG_S)
        try:
            (container,) = self.containers()
            assert execution.id in container["Name"]
            await asyncio.to_thread(client.api.wait, container["Id"])
        finally:
            client.close()


@asynccontextmanager
async def far_bench(
    directory: Path, engine_url: str, image: str, link: DockerLink | None = None, **settings: Any
) -> AsyncIterator[FarBench]:
    """Run a node with a whole way to its engine, over a link of its own unless it is given one; leave nothing there."""
    it = FarBench(directory, engine_url, image, link, **settings)
    await it.peer.serve()
    await it.way.start()
    await it.way.ready()
    await it.start()
    try:
        yield it
    finally:
        if it.way is it.link and not it.link.status.is_ready:
            it.link.heal()
        for record in it.node.live():
            await it.peer.cancel(record.execution)
        await it.idle()
        await it.stop()
        await it.way.close()
        it.forget_inputs()
