"""Trying the engine for real: a module that prints, and that a memory beyond its limit is refused to."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from bacalhau_jupyter.engines.supervised.trial import request_of, try_out
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.jobs.spec import InputSource, NetworkConfig, NetworkType, SpecConfig, Task
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import Engine, Outcome

CODE = 7
_TARGET = "/main.wasm"
# (module
#   (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
#   (memory (export "memory") 1)
#   (func (export "_start") i32.const 7 call 0))
MODULE = bytes.fromhex(
    "0061736d 01000000 01080260 017f0060 00000224 01167761 73695f73 6e617073 686f745f 70726576"
    "69657731 0970726f 635f6578 69740000 03020101 05030100 01071302 066d656d 6f727902 00065f73"
    "74617274 00010a08 01060041 0710000b"
)


async def problem(engine: Engine, root: Path, node_id: str) -> str:
    """Run a module; return why that does not work, or "".

    Parameters
    ----------
    engine
        The engine.
    root
        Where the trial's files may lie.
    node_id
        This node.
    """
    place = root / f".probe-{uuid.uuid4().hex[:8]}"
    module, log = place / "module.wasm", place / "log"
    task = Task(
        name="probe",
        engine=SpecConfig(type="wasm", params={"EntryModule": _TARGET}),
        input_sources=[InputSource(target=_TARGET)],
        network=NetworkConfig(type=NetworkType.NONE),
    )
    request = request_of(
        task,
        node_id,
        place,
        log,
        execution_id=f"probe-{uuid.uuid4().hex[:8]}",
        inputs=(InputMount(module, _TARGET),),
    )
    try:
        return await try_out(engine, request, lambda: _prepare(place, module), _verdict, "a trial module")
    finally:
        await asyncio.to_thread(remove_tree, place)


def _verdict(outcome: Outcome) -> str:
    if outcome.error is not None:
        return outcome.error.message
    return "" if outcome.exit_code == CODE else f"a trial module ended with exit code {outcome.exit_code}"


def _prepare(place: Path, module: Path) -> None:
    place.mkdir()
    module.write_bytes(MODULE)
    module.chmod(0o644)
