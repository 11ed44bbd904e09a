"""A process engine with everything around it that a test needs."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Sequence
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
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.running import OUTPUTS, Result, clear, finished, request_for

TIERS: dict[str, type[Bubblewrap] | type[Restricted]] = {"bubblewrap": Bubblewrap, "restricted": Restricted}
SYSTEM_PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
"""An interpreter that every view holds; the tests' own may lie where a job's user can't go."""
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
        await clear(self.engine)

    def request(
        self,
        command: Sequence[str],
        *,
        inputs: Sequence[InputMount] = (),
        outputs: Sequence[tuple[str, str]] = OUTPUTS,
        env: dict[str, str] | None = None,
        resources: Resources | None = None,
        timeout_s: float | None = 60.0,
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
        return request_for(
            execution,
            self.options,
            inputs=inputs,
            env=env,
            resources=resources,
            log=log,
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
        return await finished(self.engine, request)

    async def python(self, code: str, *arguments: str, **options: Any) -> Result:
        """Run Python code in the system's interpreter."""
        assert SYSTEM_PYTHON is not None
        return await self.run([SYSTEM_PYTHON, "-c", code, *arguments], **options)
