"""Whether this node can run a process task; each reason completes the sentence "this node …"."""

from __future__ import annotations

import platform
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from bacalhau_jupyter.engines.network import holder
from bacalhau_jupyter.engines.process.environments import Environments, NotShown, Registered
from bacalhau_jupyter.engines.process.environments.check import search_path
from bacalhau_jupyter.engines.process.launch import Tier
from bacalhau_jupyter.engines.process.params import ProcessParams, PythonReference, read_params
from bacalhau_jupyter.engines.process.visible_paths import View
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.launch import INPUTS, OUTPUTS
from bacalhau_jupyter.engines.supervised.mounts import Pin, TooManyEntries
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import InputSource, NetworkType, Task, replace
from bacalhau_jupyter.models.jobs.validate import NO_DOMAINS
from bacalhau_jupyter.models.records.environments import environment_hash
from bacalhau_jupyter.models.records.execution import Execution

_RESERVED = ("/bin", "/dev", "/etc", "/job", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")


class Refused(Exception):
    """The task can't run here; the text completes "this node …"."""


def check(execution: Execution, tier: Tier, environments: Environments) -> tuple[ProcessParams, View]:
    """Return a task's params and what it may see.

    Parameters
    ----------
    execution
        With its job.
    tier
        What confines jobs here.
    environments
        The Python environments that jobs may see; nothing else is shown, whatever a spec names.

    Raises
    ------
    Refused
        With the reason.
    """
    if execution.job is None:
        raise Refused("did not get the execution's job")
    task = execution.job.task
    params = _params(task)
    _check_network(task, tier)
    registered = _registered(params.python, environments)
    if registered is None and params.python.stand_in:
        registered = environments.own
        params = _in_own(params, registered)
    view = _view(registered, environments)
    python = list(view.pins)
    _check_targets(task, tier, python)
    if host.is_root():
        _check_readable(python, tier)
    try:
        view.without_hidden()
    except TooManyEntries as reason:
        raise Refused(f"can't hide private files: {reason}") from None
    return params, view


def needs_own_python(execution: Execution) -> bool:
    """Whether this node's own Python may have to run a task."""
    try:
        return execution.job is not None and bool(read_params(execution.job.task.engine).python.stand_in)
    except BadRequest:
        return False


def own_python_words(params: ProcessParams, environments: Environments) -> str:
    """Say that this node's own Python runs a task that was made for another one; empty where it does not."""
    python = params.python
    stands_in = bool(python.stand_in) and environments.registry.find(python.environment) is None
    return ", the node's own Python" if stands_in else ""


def _view(registered: Registered | None, environments: Environments) -> View:
    """Return what a job sees: the system directories and, as it is now, the registered environment that it gets."""
    if registered is None:
        return View(host.system_paths(), environments.secrets)
    try:
        places = environments.registry.verify(registered, environments.forbidden())
    except NotShown as reason:
        raise Refused(
            f"{reason} (Engine.Params.Python): restart the kernel to register its Python again"
        ) from None
    pins = {Path(place.target): Pin(place.real, place.device, place.inode) for place in places}
    return View(
        shown=(*host.system_paths(), *pins),
        hidden=environments.secrets,
        left_out=tuple(registered.left_out),
        pins=pins,
        sockets=tuple(Path(path) for path in registered.sockets),
        programs=tuple(search_path(registered.description)),
    )


def _registered(python: PythonReference, environments: Environments) -> Registered | None:
    """Return the registered environment that a spec means; the names in the spec itself show nothing."""
    named = not python.description.is_empty
    if not (named or python.environment):
        return None
    if named and python.environment:
        raise Refused("takes either the name of a Python environment or its parts (Engine.Params.Python)")
    registered = environments.registry.find(python.environment or environment_hash(python.description))
    if registered is None and not python.stand_in:
        what = f"environment {python.environment[:12]!r}" if python.environment else _in_words(python)
        raise Refused(
            f"shows jobs only Python environments that its own user has registered, not the {what} that this spec "
            "names (Engine.Params.Python): run the cell in an image (--image), or from a kernel on this node's "
            "machine, or leave it out for the system's Python"
        )
    return registered


def _in_own(params: ProcessParams, own: Registered | None) -> ProcessParams:
    """Return the params of a task from elsewhere with this node's own Python in place of the one that it was made for.

    Raises
    ------
    Refused
        This node's Python is not shown to jobs.
    """
    if own is None:
        raise Refused(
            "does not have the Python that the job was made for, and does not show its own to jobs: run the cell in "
            "an image (--image)"
        )
    program, *arguments = params.command
    # Import paths of another machine name nothing here, or something else.
    variables = [text for text in params.environment_variables if not text.startswith("PYTHONPATH=")]
    if own.description.paths:
        variables.append("PYTHONPATH=" + ":".join(own.description.paths))
    executable = own.description.executable if program == params.python.stand_in else program
    return replace(params, command=[executable, *arguments], environment_variables=variables)


def _in_words(python: PythonReference) -> str:
    first = next(iter([*python.prefixes, *python.paths, python.executable]), "")
    return f"paths ({first[:200]!r} …)"


def _params(task: Task) -> ProcessParams:
    try:
        params = read_params(task.engine)
    except BadRequest as error:
        raise Refused(f"can't read the task: {error.message}") from None
    if not params.command or not params.command[0]:
        raise Refused("got no command to run: Engine.Params.Command is empty")
    texts = [
        *params.command,
        *params.environment_variables,
        *task.env,
        *task.env.values(),
        params.working_directory,
    ]
    if any("\0" in text for text in texts):
        raise Refused("can't pass a NUL character to a program (Engine.Params, Task.Env)")
    for text in params.environment_variables:
        if "=" not in text or text.startswith("="):
            raise Refused(f"needs NAME=VALUE in Engine.Params.EnvironmentVariables, not {text!r}")
    return params


def _check_network(task: Task, tier: Tier) -> None:
    kind = task.network.type
    possible = "None, Host and HTTP" if tier.has_networks else "None and Host"
    if kind is NetworkType.BRIDGE or (kind is NetworkType.HTTP and not tier.has_networks):
        raise Refused(
            f"offers process jobs no {kind.value} network ({possible} are possible in a {tier.label})"
        )
    if kind is NetworkType.HTTP:
        if not task.network.domains:
            raise Refused(f"gives no HTTP network: {NO_DOMAINS}")
        if not holder.is_supported():
            raise Refused(f"offers process jobs no HTTP network on this processor ({platform.machine()})")


def _check_targets(task: Task, tier: Tier, python: Iterable[Path]) -> None:
    inputs = [source.target for source in task.input_sources]
    outputs = [result.path for result in task.result_paths]
    for target in (*inputs, *outputs):
        if (
            posixpath.normpath(target) != (target.rstrip("/") or "/")
            or not target.startswith("/")
            or target == "/"
        ):
            raise Refused(f"needs an absolute path without '..' for inputs and outputs, not {target!r}")
    for target, root in [*((each, INPUTS) for each in inputs), *((each, OUTPUTS) for each in outputs)]:
        if tier.mounts:
            _check_mount_point(target, python, OUTPUTS if root == INPUTS else INPUTS)
        elif not _within(target, root):
            raise Refused(
                f"can't mount, so {target} can't appear inside a job: use a path below {root} "
                f"and open it as {root.lstrip('/')}/… ({tier.label})"
            )
    _check_nothing_inside_writable(task)
    if not tier.mounts:
        _check_read_only(task, tier)
    for what, targets in (("inputs", inputs), ("result paths", outputs)):
        if len({target.rstrip("/") for target in targets}) < len(targets):
            raise Refused(f"was given two {what} with the same place inside the job")
    bare = sorted(output.rstrip("/") for output in outputs)
    if not tier.mounts and any(_within(each, other) for each in bare for other in bare if each != other):
        raise Refused(f"can't mount one result path inside another ({tier.label})")


def _check_read_only(task: Task, tier: Tier) -> None:
    for source in task.input_sources:
        if _is_writable(source):
            raise Refused(f"can't mount, so the input {source.target} can't be writable ({tier.label})")


def _check_nothing_inside_writable(task: Task) -> None:
    """A mount point inside would be made in the input itself, and a link in there would lead it elsewhere."""
    targets = [*(each.target for each in task.input_sources), *(each.path for each in task.result_paths)]
    for source in task.input_sources:
        root = source.target.rstrip("/")
        inside = next(
            (each for each in targets if each.startswith(f"{root}/") and each.rstrip("/") != root), ""
        )
        if inside and _is_writable(source):
            raise Refused(f"can't mount {inside} inside the writable input {root}")


def _is_writable(source: InputSource) -> bool:
    return parse_truth(source.source.param("ReadWrite")) is True


def _check_mount_point(target: str, python: Iterable[Path], other: str) -> None:
    for taken in (other, *_RESERVED, *(str(path) for path in python)):
        if _within(target, taken) or _within(taken, target):
            raise Refused(
                f"needs {taken} for itself inside a job: {target} can't be an input's or output's place"
            )


def _check_readable(python: Sequence[Path], tier: Tier) -> None:
    """As root: the job's user has no rights on anything that is not open to all."""
    for path in python:
        if not host.readable_by_others(path, parents=not tier.mounts):
            raise Refused(
                f"runs as root and its jobs as another user, who can't read {path} (Engine.Params.Python): "
                f"open it, and the directories above it, to others"
            )


def _within(path: str, root: str) -> bool:
    return path.rstrip("/") == root or path.startswith(f"{root}/")
