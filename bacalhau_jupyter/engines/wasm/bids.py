"""Whether this node can run a wasm task; each reason completes the sentence "this node …"."""

from __future__ import annotations

from bacalhau_jupyter.engines.wasm import headers, memory
from bacalhau_jupyter.engines.wasm.params import WasmParams, read_params
from bacalhau_jupyter.engines.wasm.places import covers, guest_path, is_plain
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import NetworkType, Task
from bacalhau_jupyter.models.jobs.units import resources_of
from bacalhau_jupyter.models.jobs.validate import NO_DOMAINS
from bacalhau_jupyter.models.records.execution import Execution

MOST_PLACES = 1000
"""Inputs and results of one job: each is an open directory of its process."""


class Refused(Exception):
    """The task can't run here; the text completes "this node …"."""


def check(execution: Execution) -> WasmParams:
    """Return a task's params.

    Raises
    ------
    Refused
        With the reason.
    """
    if execution.job is None:
        raise Refused("did not get the execution's job")
    task = execution.job.task
    params = _params(task)
    _check_network(task)
    _check_places(task)
    _check_modules(task, params)
    if problem := memory.too_much(resources_of(task.resources).memory):
        raise Refused(f"can't give a module so much memory: {problem}")
    return params


def _params(task: Task) -> WasmParams:
    try:
        params = read_params(task.engine)
    except BadRequest as error:
        raise Refused(f"can't read the task: {error.message}") from None
    texts = [
        params.entrypoint,
        *params.parameters,
        *params.environment_variables,
        *params.environment_variables.values(),
        *task.env,
        *task.env.values(),
    ]
    if any("\0" in text for text in texts):
        raise Refused("can't pass a NUL character to a module (Engine.Params, Task.Env)")
    return params


def _check_network(task: Task) -> None:
    kind = task.network.type
    if kind is NetworkType.BRIDGE:
        raise Refused(
            "offers wasm jobs no Bridge network: modules can't listen on ports (None, Host and HTTP are possible)"
        )
    if kind is NetworkType.HTTP and not task.network.domains:
        raise Refused(f"gives no HTTP network: {NO_DOMAINS}")


def _check_places(task: Task) -> None:
    inputs = [guest_path(source.target) for source in task.input_sources]
    outputs = [guest_path(result.path) for result in task.result_paths]
    for path in (*inputs, *outputs):
        if not is_plain(path):
            raise Refused(f"needs a path below / without '..' for inputs and outputs, not {path!r}")
    if len(inputs) + len(outputs) > MOST_PLACES:
        raise Refused(f"shows a module at most {MOST_PLACES} inputs and outputs")
    if len({*inputs, *outputs}) < len(inputs) + len(outputs):
        raise Refused("was given two inputs or result paths with the same place")
    for source in task.input_sources:
        if parse_truth(source.source.param("ReadWrite")) is True:
            raise Refused(
                f"mounts inputs of modules read-only, so {source.target} can't be writable: write to a result path"
            )


def _check_modules(task: Task, params: WasmParams) -> None:
    if not params.entry_module:
        raise Refused(
            "got no module to run: Engine.Params.EntryModule is empty (it names the target of an input)"
        )
    targets = {guest_path(source.target): source for source in task.input_sources}
    for name in (params.entry_module, *params.import_modules):
        path = guest_path(name)
        if not any(covers(target, path) for target in targets):
            raise Refused(f"finds no module at {name!r}: no input has this target")
        source = targets.get(path)
        if source is not None and (problem := headers.visible_problem(source)):
            raise Refused(f"can't run {name!r}, which {problem}")
