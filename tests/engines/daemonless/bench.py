"""``docker`` tasks on either runtime, with images that both of them have."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.daemonless.devices.given import Machine
from bacalhau_jupyter.engines.daemonless.engine import DaemonlessEngine
from bacalhau_jupyter.engines.images.contract import FoundImage, HeldImage, ImageConfig, KeptImage
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import (
    InputSource,
    NetworkConfig,
    NetworkType,
    ResultPath,
    SpecConfig,
    Task,
)
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.contract import InputMount, OutputMount, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Engine, Outcome, RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.services.images import BUSYBOX

NODE_ID = "n-image"
WAIT_S = 60.0
BOMB = """
: > /tmp/said
sh -c 'bomb() { bomb & bomb & wait; }; bomb' 2> /tmp/said &
until read -r line < /tmp/said; do :; done
set -- /proc/[0-9]*
kill -9 -1
echo "$# $line"
"""
"""A fork bomb in a shell, which prints how many processes there are when one can't be made, and what is said then. The
first process itself can't make any by then."""


@dataclass
class Trees:
    """A store of trees that lie here, by name."""

    trees: dict[str, HeldImage] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, tree: Path, config: ImageConfig) -> None:
        image = FoundImage(name, f"sha256:{name}", f"sha256:{name}", config, 0, is_here=True)
        self.trees[name] = HeldImage(image, tree)

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def find(self, reference: str) -> FoundImage:
        if reference not in self.trees:
            raise EngineError(f'image not available: "{reference}"', fails_execution=True)
        return self.trees[reference].image

    async def hold(self, reference: str, holder: str, progress: Progress = no_progress) -> HeldImage:
        await self.find(reference)
        self.holders.setdefault(holder, reference)
        return self.trees[self.holders[holder]]

    async def held(self, holder: str) -> HeldImage | None:
        name = self.holders.get(holder)
        return None if name is None else self.trees[name]

    async def release(self, holder: str) -> None:
        self.holders.pop(holder, None)

    async def load(self, path: Path, progress: Progress = no_progress) -> Sequence[KeptImage]:
        raise NotImplementedError

    async def images(self) -> Sequence[KeptImage]:
        return ()

    async def remove(self, reference_or_digest: str) -> int:
        raise NotImplementedError

    async def clean(self) -> int:
        raise NotImplementedError


@dataclass
class Ran:
    """How a task ended and what it printed."""

    outcome: Outcome
    stdout: str
    stderr: str
    outputs: Path
    request: RunRequest


class Bench:
    """One runtime over a temporary data directory that looks like a node's.

    Parameters
    ----------
    place
        A temporary directory.
    engine
        Its runtime.

    Attributes
    ----------
    define
        Makes an image of busybox and returns its name: ``define(config, change)``, where ``change`` gets its tree.
    has_one_user
        Whether the runtime has only the node's own user for a job: all files are its, and it has no further groups.
    """

    def __init__(self, place: Path, options: PluginOptions, engine: Engine) -> None:
        self.place = place
        self.options = options
        self.engine = engine
        self.define: Callable[..., str] = lambda *_, **__: ""
        self.has_one_user = isinstance(engine, DaemonlessEngine) and os.geteuid() != 0

    def request(
        self,
        params: dict[str, Any],
        *,
        inputs: Sequence[InputMount] = (),
        outputs: Sequence[tuple[str, str]] = (("outputs", "/outputs"),),
        env: dict[str, str] | None = None,
        resources: Resources | None = None,
        timeout_s: float | None = 60.0,
        network: NetworkConfig | None = None,
        job_id: str = "",
    ) -> RunRequest:
        """Return a request to run a task, of a job of its own or of one that has run before."""
        task = Task(
            name="main",
            engine=SpecConfig(type="docker", params=params),
            input_sources=[InputSource(target=each.target) for each in inputs],
            result_paths=[ResultPath(name=name, path=path) for name, path in outputs],
            network=network or NetworkConfig(type=NetworkType.NONE),
        )
        job_id = job_id or f"j-{uuid.uuid4()}"
        execution = Execution(id=f"e-{uuid.uuid4()}", job_id=job_id, job=Job(id=job_id, tasks=[task]))
        directory = self.options.data_dir / "executions" / execution.id
        directory.mkdir(mode=0o700, parents=True)
        return RunRequest(
            execution=execution,
            node_id=self.options.node_id,
            env=env or {},
            resources=resources or Resources(),
            inputs=inputs,
            outputs=[OutputMount(name, directory / "results" / name, path) for name, path in outputs],
            directory=directory,
            log_path=directory / "log",
            timeout_s=timeout_s,
        )

    async def run(self, params: dict[str, Any], **options: Any) -> Ran:
        """Run a task to its end."""
        request = self.request(params, **options)
        await self.engine.start(request)
        return await self.finish(request)

    async def finish(self, request: RunRequest) -> Ran:
        """Wait for a started task, and remove what the engine keeps of it."""
        async with asyncio.timeout(WAIT_S):
            outcome = await self.engine.wait(request.execution.id)
        printed = {logfile.STDOUT: b"", logfile.STDERR: b"", logfile.END: b""}
        for frame in logfile.read_frames(request.log_path):
            printed[frame.stream] = printed.get(frame.stream, b"") + frame.data
        await self.engine.clean(request.execution.id)
        return Ran(
            outcome,
            printed[logfile.STDOUT].decode(errors="replace"),
            printed[logfile.STDERR].decode(errors="replace"),
            request.outputs[0].path if request.outputs else Path("/nonexistent"),
            request,
        )

    async def sh(self, script: str, image: str = BUSYBOX, **options: Any) -> Ran:
        """Run a shell script in an image."""
        return await self.run({"Image": image, "Entrypoint": ["/bin/sh", "-c", script]}, **options)


def daemonless(place: Path, store: Trees, machine: Machine | None = None) -> Bench:
    """A bench of the runtime without a daemon; it still has to be probed. ``machine`` shows its GPUs."""
    options = PluginOptions(NODE_ID, place / "repo" / "compute")
    options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Bench(place, options, DaemonlessEngine(options, store, machine=machine))
