"""The ``docker`` engine's parameters and the container that they, with a run request, ask for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from bacalhau_jupyter.engines.docker.sharing.owners import owner_labels
from bacalhau_jupyter.engines.network.rules import has_way_out
from bacalhau_jupyter.engines.network.variables import with_proxy
from bacalhau_jupyter.engines.registries.names import image_invalid, is_reference
from bacalhau_jupyter.models.codec import Wire, convert
from bacalhau_jupyter.models.errors import EngineError, ValidationError
from bacalhau_jupyter.models.jobs.spec import NetworkType, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.engine import RunRequest

COMPONENT = "Docker"
LABEL_NODE = "bacalhau-executor"
LABEL_JOB = "bacalhau-jobID"
LABEL_EXECUTION = "bacalhau-executionID"
LOG_SIZE, LOG_FILES = "4g", "2"
"""Bound of the engine's own log file of a container. What was rotated away can't be read again, so it is rotated only
when 4 GB are full (of a program's output, 1 GB is kept per stream), and then as much more is kept."""
USUAL_PERIOD_US, LONGEST_PERIOD_US = 100_000, 1_000_000
"""The time that a CPU limit is counted over: the engine's own, and the kernel's longest."""
SETUP_US = 50_000
"""CPU time that setting up a container may take."""
LEAST_QUOTA_US = 1_000
"""The kernel's own lower bound of what is granted in a period."""
_EVERY_ADDRESS = "0.0.0.0"


class DockerParams(Wire):
    """``Engine.Params`` of a docker task; ``null`` members mean "not given"."""

    image: str = ""
    entrypoint: list[str] = msgspec.field(default_factory=list)
    parameters: list[str] = msgspec.field(default_factory=list)
    environment_variables: list[str] = msgspec.field(default_factory=list)
    working_directory: str = ""


def task_of(execution: Execution) -> Task:
    """Return what is to run.

    Raises
    ------
    EngineError
        The execution has no job.
    """
    if execution.job is None or not execution.job.tasks:
        raise EngineError(f"execution {execution.id} has no task", fails_execution=True)
    return execution.job.task


def docker_params(task: Task) -> DockerParams:
    """Decode and check a task's engine parameters.

    Raises
    ------
    BacalhauError
        A member has the wrong type or value; it is named.
    """
    params = convert(task.engine.params, DockerParams, "docker engine's Params")
    problems = []
    for item in params.environment_variables:
        name, equals, _ = item.partition("=")
        if not equals or not name:
            problems.append(
                f'invalid engine param: EnvironmentVariables "{item}" is not of the form NAME=value'
            )
        elif name.upper().startswith("BACALHAU_"):
            problems.append(
                f'invalid engine param: EnvironmentVariables may not set "{name}" (BACALHAU_ is reserved)'
            )
    if params.working_directory and not posixpath.isabs(params.working_directory):
        problems.append(
            f'invalid engine param: WorkingDirectory "{params.working_directory}" must be an absolute path'
        )
    if problems:
        raise ValidationError(problems, fails_execution=True)
    if not is_reference(params.image):
        raise image_invalid(params.image)
    return params


def container_name(node_id: str, execution: Execution) -> str:
    """Return the name that only this execution's container has on the whole engine."""
    name = f"bacalhau-{node_id}-{execution.job_id}-{execution.id}-executor"
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", name)


def execution_label(node_id: str, execution_id: str) -> str:
    """Return the value of `LABEL_EXECUTION`: nodes that share an engine stay apart."""
    return node_id + execution_id


def container_config(
    request: RunRequest,
    params: DockerParams,
    mounts: Sequence[Mapping[str, Any]] = (),
    *,
    default_network: NetworkType,
    log_drivers: Collection[str] = (),
    gpus: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body of ``POST /containers/create``.

    Parameters
    ----------
    mounts
        Its inputs and results (`placement.bind_mounts`, `Archive.load`).
    default_network
        What network type ``Default`` means on this node.
    log_drivers
        The engine's log drivers.
    gpus
        What hands it its GPUs (`devices.gpu_options`).
    """
    execution = request.execution
    env = with_proxy(request.env) if has_way_out(request) else request.env
    host: dict[str, Any] = {
        "LogConfig": _log_config(log_drivers),
        "Mounts": list(mounts),
        **_network(request, default_network),
        **_limits(request),
        **(gpus or {}),
    }
    config: dict[str, Any] = {
        "Image": params.image,
        "Env": [*(f"{key}={value}" for key, value in env.items()), *params.environment_variables],
        "Labels": {
            LABEL_NODE: request.node_id,
            LABEL_JOB: request.node_id + execution.job_id,
            LABEL_EXECUTION: execution_label(request.node_id, execution.id),
            **owner_labels(),
        },
        "HostConfig": host,
    }
    if host["NetworkMode"] == "none" and not has_way_out(request):
        # No network to set up at all: it starts in half the time, with the same loopback (see `hosts`).
        config["NetworkDisabled"] = True
    if bindings := host.get("PortBindings"):
        config["ExposedPorts"] = {port: {} for port in bindings}
    # The engine's own rules are the wanted ones: Cmd replaces CMD and keeps ENTRYPOINT, Entrypoint replaces
    # ENTRYPOINT and drops the image's CMD. Only what is given may be sent.
    if params.entrypoint:
        config["Entrypoint"] = params.entrypoint
    if params.parameters:
        config["Cmd"] = params.parameters
    if params.working_directory:
        config["WorkingDir"] = params.working_directory
    return config


def log_driver(drivers: Collection[str]) -> str:
    """Return the log driver for a task's container, of those that the engine has."""
    # `json-file` keeps text: bytes that are not UTF-8, and characters across its pieces of 16 KiB, are lost in it.
    return "local" if "local" in drivers else "json-file"


def _log_config(drivers: Collection[str]) -> dict[str, Any]:
    driver, limits = log_driver(drivers), {"max-size": LOG_SIZE, "max-file": LOG_FILES}
    return {"Type": driver, "Config": limits | ({"compress": "false"} if driver == "local" else {})}


def _network(request: RunRequest, default: NetworkType) -> dict[str, Any]:
    network = task_of(request.execution).network.type
    if network is NetworkType.DEFAULT:
        return {"NetworkMode": "none" if default is NetworkType.NONE else "bridge"}
    if network in (NetworkType.NONE, NetworkType.HTTP):
        # The launcher puts the network of the execution's holder in place of the latter.
        return {"NetworkMode": "none"}
    options: dict[str, Any] = {
        "NetworkMode": "host" if network is NetworkType.HOST else "bridge",
        "ExtraHosts": ["host.docker.internal:host-gateway"],
    }
    if network is NetworkType.BRIDGE and request.ports:
        options["PortBindings"] = {
            f"{port.target}/tcp": [
                {"HostIp": port.host_network or _EVERY_ADDRESS, "HostPort": str(port.static)}
            ]
            for port in request.ports
        }
    return options


def _limits(request: RunRequest) -> dict[str, Any]:
    granted, limits = request.resources, dict[str, Any]()
    if granted.memory:
        # The same value for memory and swap together means: no swap.
        limits |= {"Memory": granted.memory, "MemorySwap": granted.memory}
    if granted.cpu:
        limits |= _cpu_limit(granted.cpu)
    return limits


def _cpu_limit(cpu: float) -> dict[str, int]:
    """Return the limit for a number of cores.

    A small share of the usual period of 100 ms throttles the container runtime itself while it sets the container up.
    In a longer period the same share is enough for that.
    """
    if cpu * USUAL_PERIOD_US >= SETUP_US:
        return {"NanoCpus": int(cpu * 1_000_000_000)}
    period_us = min(LONGEST_PERIOD_US, round(SETUP_US / cpu))
    return {"CpuPeriod": period_us, "CpuQuota": max(LEAST_QUOTA_US, round(period_us * cpu))}
