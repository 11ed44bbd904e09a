"""The environment variables of a task."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from bacalhau_jupyter.lib.telemetry.trace import VARIABLE
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.spec import Port
from bacalhau_jupyter.models.records.execution import Execution

_HOST_PREFIX = "env:"

INPUTS, OUTPUTS = "/inputs", "/outputs"
"""What ``BACALHAU_INPUTS`` and ``BACALHAU_OUTPUTS`` say where the engine mounts; others replace them by real paths."""


def objections(env: Mapping[str, str], allow_list: Sequence[str]) -> list[str]:
    """Say which variables of a task this node would not resolve.

    Patterns are globs that must match the whole name (upstream takes them as regular expressions that may match
    anywhere, so ``AWS_*`` would let ``MY_AWS_X`` through).
    """
    return [
        f"this node does not resolve environment variable {name}: "
        f"environment variable '{host_name}' is not in allowed patterns"
        for name, value in env.items()
        if (host_name := _host_name(value)) is not None and not _allowed(host_name, allow_list)
    ]


def task_environment(
    execution: Execution,
    allow_list: Sequence[str],
    host: Mapping[str, str],
    ports: Sequence[Port] = (),
    *,
    trace: str = "",
) -> dict[str, str]:
    """Return the task's variables; ours win over the job's, except for ``TRACEPARENT``.

    Parameters
    ----------
    trace
        The ``traceparent`` of the span that the task is a part of; empty without one.

    Raises
    ------
    EngineError
        The job asks for a variable of the host that is not allowed or not set.
    """
    job = execution.job
    if job is None:
        return {}
    env = {name: _resolve(name, value, allow_list, host) for name, value in job.task.env.items()}
    env["BACALHAU_EXECUTION_ID"] = execution.id
    env["BACALHAU_JOB_ID"] = execution.job_id or job.id
    env["BACALHAU_JOB_TYPE"] = job.type
    env["BACALHAU_PARTITION_INDEX"] = str(execution.partition_index)
    env["BACALHAU_PARTITION_COUNT"] = str(job.count or 0)
    for port in ports:
        # As upstream: with the host's network there is no port inside that differs.
        env[f"BACALHAU_HOST_PORT_{port.name}"] = str(port.static)
        if port.target:
            env[f"BACALHAU_PORT_{port.name}"] = str(port.target)
    env["BACALHAU_INPUTS"], env["BACALHAU_OUTPUTS"] = INPUTS, OUTPUTS
    if trace:
        env.setdefault(VARIABLE, trace)
    return env


def _resolve(name: str, value: str, allow_list: Sequence[str], host: Mapping[str, str]) -> str:
    host_name = _host_name(value)
    if host_name is None:
        return value
    if not _allowed(host_name, allow_list):
        problem = f"environment variable '{host_name}' is not in allowed patterns"
    elif host_name not in host:
        problem = f"required environment variable '{host_name}' not found"
    else:
        return host[host_name]
    raise EngineError(
        f"environment variable {name} can't be resolved: {problem}",
        hint="Set the variable where the node runs, and allow it in Compute.Env.AllowList",
        component="EnvResolver",
    )


def _host_name(value: str) -> str | None:
    return value.removeprefix(_HOST_PREFIX) if value.startswith(_HOST_PREFIX) else None


def _allowed(name: str, allow_list: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in allow_list)
