"""A process engine with everything around it that a test needs."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.process import ProcessEngine
from bacalhau_jupyter.engines.process.launch import Tier
from bacalhau_jupyter.engines.process.tiers import Bubblewrap, Restricted
from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import (
    InputSource,
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    ResultPath,
    SpecConfig,
    Task,
)
from bacalhau_jupyter.models.records.environments import PythonDescription
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.contract import InputMount, OutputMount
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions

TIERS: dict[str, type[Bubblewrap] | type[Restricted]] = {"bubblewrap": Bubblewrap, "restricted": Restricted}
SYSTEM_PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
"""An interpreter that every view holds; the tests' own may lie where a job's user can't go."""
WAIT_S = 60.0
OUTPUTS = (("outputs", "/outputs"),)
_ids = itertools.count(1)


def own_python() -> dict[str, Any]:
    """Describe the interpreter that runs the tests, without what they import from elsewhere."""
    return {
        "Executable": sys.executable,
        "Prefixes": list(dict.fromkeys([sys.prefix, sys.base_prefix])),
        "Paths": [],
    }


def make_execution(
    command: Sequence[str],
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[tuple[str, str]] = OUTPUTS,
    network: NetworkConfig | None = None,
    resources: ResourcesConfig | None = None,
    env: dict[str, str] | None = None,
    **params: Any,
) -> Execution:
    """Return an execution of a process task; ``params`` go into the engine's."""
    task = Task(
        name="main",
        engine=SpecConfig(type="process", params={"Command": list(command), **params}),
        input_sources=[InputSource(target=target) for target in inputs],
        result_paths=[ResultPath(name=name, path=path) for name, path in outputs],
        network=network or NetworkConfig(type=NetworkType.NONE),
        resources=resources or ResourcesConfig(),
        env=env or {},
    )
    return Execution(id=f"e-{os.getpid()}-{next(_ids)}", job=Job(id="j-1", tasks=[task]))


@dataclass
class Result:
    """How a run ended and what it printed."""

    outcome: Outcome
    stdout: str
    stderr: str
    outputs: Path
    request: RunRequest

    def text(self, name: str) -> str:
        """Return what the job wrote to ``outputs/name``."""
        return (self.outputs / name).read_text()


class Bench:
    """An engine of one tier over a temporary data directory that looks like a node's: a repo with secrets."""

    def __init__(self, place: Path, tier: Tier | None) -> None:
        self.place = place
        self.repo = place / "repo"
        self.repo.mkdir(mode=0o700, exist_ok=True)
        self.api_key = self.repo / "api-key"
        self.api_key.write_text("the-secret-api-key")
        self.home = place / "home"
        (self.home / ".ssh").mkdir(parents=True, exist_ok=True)
        (self.home / ".ssh" / "id_ed25519").write_text("the-secret-ssh-key")
        self.data = self.repo / "compute"
        self.tier = tier
        self.use(PluginOptions("n-bench", self.data, hidden=(self.repo,)))

    def use(self, options: PluginOptions) -> None:
        """Make the engine anew, as a node with another configuration does."""
        self.options = options
        self.engine = ProcessEngine(options, tiers=None if self.tier is None else [self.tier])

    @property
    def mounts(self) -> bool:
        """Whether the tier builds the job a file tree of its own."""
        return self.tier is not None and self.tier.mounts

    async def open(self) -> str:
        """Probe; return the problem, or ""."""
        return (await self.engine.probe()).problem

    async def close(self) -> None:
        """Remove every execution and close the engine."""
        for execution_id in await self.engine.existing():
            await self.engine.clean(execution_id)
        await self.engine.close()

    def request(
        self,
        command: Sequence[str],
        *,
        inputs: Sequence[InputMount] = (),
        outputs: Sequence[tuple[str, str]] = OUTPUTS,
        env: dict[str, str] | None = None,
        resources: Resources | None = None,
        timeout_s: float | None = 30.0,
        grace_s: float = 600.0,
        log: Path | None = None,
        host_network: bool = False,
        network: NetworkConfig | None = None,
        **params: Any,
    ) -> RunRequest:
        """Return a request to run ``command``."""
        execution = make_execution(
            command,
            inputs=[each.target for each in inputs],
            outputs=outputs,
            network=NetworkConfig(type=NetworkType.HOST) if host_network else network,
            **params,
        )
        directory = self.data / "executions" / execution.id
        directory.mkdir(mode=0o700, parents=True)
        return RunRequest(
            execution=execution,
            node_id="n-bench",
            env=env or {},
            resources=resources or Resources(),
            inputs=inputs,
            outputs=[OutputMount(name, directory / "results" / name, path) for name, path in outputs],
            directory=directory,
            log_path=log or directory / "log",
            timeout_s=timeout_s,
            grace_s=grace_s,
        )

    async def register(self, **described: Any) -> dict[str, Any]:
        """Register a Python environment as a kernel does; return ``Params.Python`` for jobs that are to see it."""
        description = convert(described, PythonDescription)
        return {"Environment": (await self.engine.environments.register(description)).environment}

    async def run(self, command: Sequence[str], **options: Any) -> Result:
        """Run to the end."""
        request = self.request(command, **options)
        await self.engine.start(request)
        return await self.finish(request)

    async def finish(self, request: RunRequest) -> Result:
        """Wait for a started request."""
        async with asyncio.timeout(WAIT_S):
            outcome = await self.engine.wait(request.execution.id)
        printed = {logfile.STDOUT: b"", logfile.STDERR: b"", logfile.END: b""}
        for frame in all_frames(request.log_path):
            printed[frame.stream] += frame.data
        return Result(
            outcome,
            printed[logfile.STDOUT].decode(errors="replace"),
            printed[logfile.STDERR].decode(errors="replace"),
            request.outputs[0].path if request.outputs else Path("/nonexistent"),
            request,
        )

    async def python(self, code: str, *arguments: str, **options: Any) -> Result:
        """Run Python code in the system's interpreter."""
        assert SYSTEM_PYTHON is not None
        return await self.run([SYSTEM_PYTHON, "-c", code, *arguments], **options)


def all_frames(path: Path) -> list[logfile.Frame]:
    """Read a whole log file."""
    frames: list[logfile.Frame] = []
    while more := list(logfile.read_frames(path, frames[-1].next_offset if frames else 0)):
        frames += more
    return frames


async def until(ready: Any, timeout_s: float = 60.0) -> None:
    """Wait until ``ready()`` is true: for things outside of ours that tell nobody."""
    async with asyncio.timeout(timeout_s):
        while not ready():  # noqa: ASYNC110 - what is waited for is outside of this process
            await asyncio.sleep(0.01)
