"""Whether a ``docker`` task can run without a Docker Engine; each reason completes the sentence "this node …"."""

from __future__ import annotations

import platform
import posixpath

from bacalhau_jupyter.engines.daemonless.placing import COVERED, within
from bacalhau_jupyter.engines.docker.params import DockerParams, docker_params, task_of
from bacalhau_jupyter.engines.network import holder
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.jobs.spec import NetworkType, Task
from bacalhau_jupyter.models.jobs.validate import NO_DOMAINS
from bacalhau_jupyter.models.records.execution import Execution

_WITHOUT = "has no Docker Engine"


class Refused(Exception):
    """The task can't run here; the text completes "this node …"."""


def check(execution: Execution) -> DockerParams:
    """Return a task's params.

    Raises
    ------
    Refused
        With the reason.
    BacalhauError
        The params are wrong wherever the task runs.
    """
    task = task_of(execution)
    params = docker_params(task)
    texts = [
        *params.entrypoint,
        *params.parameters,
        *params.environment_variables,
        params.working_directory,
        *task.env,
        *task.env.values(),
    ]
    if any("\0" in text for text in texts):
        raise Refused("can't pass a NUL character to a program (Engine.Params, Task.Env)")
    _check_network(task)
    _check_targets(task)
    return params


def _check_network(task: Task) -> None:
    kind = task.network.type
    if kind is NetworkType.BRIDGE:
        raise Refused(
            f"{_WITHOUT}, and gives docker jobs no Bridge network without one (None, Host and HTTP are possible)"
        )
    if task.network.ports and kind is not NetworkType.HOST:
        raise Refused(f"{_WITHOUT}, and gives docker jobs ports in the network of type Host only without one")
    if kind is NetworkType.HTTP:
        if not task.network.domains:
            raise Refused(f"gives no HTTP network: {NO_DOMAINS}")
        if not holder.is_supported():
            raise Refused(f"gives docker jobs no HTTP network on {platform.machine()}")


def _check_targets(task: Task) -> None:
    writable = [
        source.target.rstrip("/")
        for source in task.input_sources
        if parse_truth(source.source.param("ReadWrite")) is True
    ]
    targets = [*(each.target for each in task.input_sources), *(each.path for each in task.result_paths)]
    for target in targets:
        bare = target.rstrip("/") or "/"
        if not target.startswith("/") or posixpath.normpath(target) != bare or bare == "/" or "\0" in target:
            raise Refused(f"needs an absolute path without '..' for inputs and outputs, not {target!r}")
        if taken := next((each for each in COVERED if within(bare, each)), ""):
            raise Refused(f"{_WITHOUT}, and can mount nothing in {taken} without one: {target}")
        # Its place would be made in the input itself, and a link in there would lead it elsewhere.
        if root := next((each for each in writable if within(bare, each) and bare != each), ""):
            raise Refused(
                f"{_WITHOUT}, and can't mount {target} inside the writable input {root} without one"
            )
