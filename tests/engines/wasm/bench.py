"""A wasm engine with everything around it that a test needs, and modules written as text."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.wasm.engine import WasmEngine
from bacalhau_jupyter.engines.wasm.launch import Confinement
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
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.reach import Reach
from tests.engines.running import OUTPUTS, Result, clear, finished, request_for

MAIN = "/main.wasm"
PLAIN = Confinement(0, filters=False, plain=True)
"""What every Unix has, which Linux has, too."""
NONE = NetworkConfig(type=NetworkType.NONE)
_ids = itertools.count(1)


def compiled(text: str) -> bytes:
    """Return the binary form of a module in WebAssembly text."""
    import wasmtime

    return bytes(wasmtime.wat2wasm(text))


def wasi(body: str, *imports: str) -> bytes:
    """Return a program: ``body`` is its ``_start``; ``$write`` prints the iovec at 0, ``$exit`` ends it."""
    return compiled(f"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      {" ".join(imports)}
      (memory (export "memory") 1)
      {body})""")


def printing(text: str, then: str = "", stream: int = 1) -> bytes:
    """Return a program that prints a text without ``\\n`` signs of its own, and goes on with ``then``."""
    escaped = "".join(f"\\{byte:02x}" for byte in text.encode())
    size = "".join(f"\\{byte:02x}" for byte in len(text.encode()).to_bytes(4, "little"))
    return wasi(f"""(data (i32.const 64) "{escaped}")
      (data (i32.const 0) "\\40\\00\\00\\00{size}")
      (func (export "_start")
        (drop (call $write (i32.const {stream}) (i32.const 0) (i32.const 1) (i32.const 16))) {then})""")


class Bench:
    """An engine over a temporary data directory."""

    def __init__(
        self, place: Path, confinement: Confinement | None = None, reach: Reach | None = None
    ) -> None:
        self.place = place
        self.data = place / "repo" / "compute"
        self.options = PluginOptions("n-bench", self.data, hidden=(place / "repo",))
        self.confinement, self.reach = confinement, reach
        self.engine = WasmEngine(self.options, confinement=confinement, reach=reach)

    @property
    def is_plain(self) -> bool:
        """Whether nothing of Linux's own is used to look after modules."""
        return self.confinement is PLAIN

    async def open(self) -> str:
        """Probe; return the problem, or ""."""
        self.data.mkdir(parents=True, exist_ok=True)
        return (await self.engine.probe()).problem

    async def again(self) -> None:
        """Let another node take over what this one has started."""
        await self.engine.close()
        self.engine = WasmEngine(self.options, confinement=self.confinement, reach=self.reach)
        assert not await self.open()

    async def close(self) -> None:
        """Remove every execution and close the engine."""
        await clear(self.engine)

    def file(self, name: str, content: bytes, *, ours: bool = True) -> Path:
        """Write a file of the node's own, or of somebody else."""
        path = (self.data if ours else self.place / "elsewhere") / "inputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def request(
        self,
        module: bytes | None = None,
        *parameters: str,
        inputs: Mapping[str, Path] | None = None,
        outputs: Sequence[tuple[str, str]] = OUTPUTS,
        env: dict[str, str] | None = None,
        memory: int = 0,
        timeout_s: float | None = 60.0,
        network: NetworkConfig = NONE,
        resources: ResourcesConfig | None = None,
        **params: Any,
    ) -> RunRequest:
        """Return a request to run a module, which becomes the input ``/main.wasm``."""
        identifier = f"e-{os.getpid()}-{next(_ids)}"
        places = dict(inputs or {})
        if module is not None:
            places[MAIN] = self.file(f"{identifier}.wasm", module)
        params = {"EntryModule": MAIN, "Parameters": list(parameters), **params}
        task = Task(
            name="main",
            engine=SpecConfig(type="wasm", params=params),
            input_sources=[InputSource(target=target) for target in places],
            result_paths=[ResultPath(name=name, path=path) for name, path in outputs],
            network=network,
            resources=resources or ResourcesConfig(),
        )
        return request_for(
            Execution(id=identifier, job_id="j-1", job=Job(id="j-1", tasks=[task])),
            self.options,
            inputs=[InputMount(path, target) for target, path in places.items()],
            env=env,
            resources=Resources(memory=memory),
            timeout_s=timeout_s,
        )

    async def run(self, module: bytes | None = None, *parameters: str, **options: Any) -> Result:
        """Run to the end."""
        request = self.request(module, *parameters, **options)
        await self.engine.start(request)
        return await self.finish(request)

    async def finish(self, request: RunRequest) -> Result:
        """Wait for a started request."""
        return await finished(self.engine, request)
