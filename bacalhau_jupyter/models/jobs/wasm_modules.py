"""Modules of WebAssembly jobs as older clients write them: inside the engine's params, instead of among the inputs."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task, replace

ENTRY_TARGET = "/wasm/entry.wasm"
IMPORT_TARGET = "/wasm/imports/module_{}.wasm"
"""Where modules without a target appear."""


def with_module_inputs(task: Task) -> Task:
    """Return a task whose modules are inputs, which its engine's params name by their targets."""
    if not task.engine.is_type("wasm"):
        return task
    entry, imports = task.engine.param("EntryModule"), task.engine.param("ImportModules")
    imported = imports if isinstance(imports, list) else []
    if not isinstance(entry, dict) and not any(isinstance(each, dict) for each in imported):
        return task
    try:
        sources: list[InputSource] = []
        changes: dict[str, Any] = {}
        if isinstance(entry, dict):
            changes["EntryModule"] = _placed(entry, ENTRY_TARGET, sources)
        targets = [
            _placed(each, IMPORT_TARGET.format(index), sources) if isinstance(each, dict) else each
            for index, each in enumerate(imported)
        ]
        if targets:
            changes["ImportModules"] = targets
    except BadRequest:
        return task  # the node says what it can't read
    changed = folded(changes)
    params = {name: value for name, value in task.engine.params.items() if name.lower() not in changed}
    engine = SpecConfig(type=task.engine.type, params={**params, **changes})
    return replace(task, engine=engine, input_sources=[*task.input_sources, *sources])


def _placed(module: dict[str, Any], target: str, sources: list[InputSource]) -> str:
    source = convert(module, InputSource, "Engine.Params")
    source = replace(source, target=source.target.strip() or target)
    sources.append(source)
    return source.target
