"""The rules a job must keep, all checked at once and reported in the official words."""

from __future__ import annotations

import ipaddress
import json
import posixpath
import re
from typing import TypeVar

from bacalhau_jupyter.models.errors import ValidationError
from bacalhau_jupyter.models.jobs.goduration import format_go_duration
from bacalhau_jupyter.models.jobs.job import Job, JobType
from bacalhau_jupyter.models.jobs.selector import constraint_problems
from bacalhau_jupyter.models.jobs.spec import (
    NO_SPEC,
    InputSource,
    NetworkConfig,
    NetworkType,
    Port,
    ResultPath,
    SpecConfig,
    Task,
    Timeouts,
)
from bacalhau_jupyter.models.jobs.units import resource_problems

_T = TypeVar("_T", str, int)
_JOB_TYPES = frozenset(kind.value for kind in JobType)
_RESERVED_ENV = "BACALHAU_"
_PORT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT_NAME_LIMIT = 237
_DOMAIN = re.compile(r"\.?([a-z0-9]+(-+[a-z0-9]+)*\.)+[a-z]{2,}", re.IGNORECASE | re.ASCII)
NO_DOMAINS = "at least one domain is required when HTTP networking is enabled"
_INT32 = (1 << 31) - 1

# First words of a problem → what to do about it.
_HINTS = (
    (("missing job type", "invalid job type"), "Set Type to batch, service, ops or daemon."),
    (("invalid resources",), "Write CPU as 500m or 2, sizes as 512mb or 1gb, GPU as a whole number."),
    (("environment variable",), "Names look like MY_NAME; values are text or env:NAME."),
    (("invalid engine",), "Set Engine.Type, for example docker."),
    (("domains can only be set",), "Set the network type HTTP (--network http), or leave the domains out."),
    ((NO_DOMAINS,), "Name each host that the job may reach: --domain example.com."),
    (
        ("invalid domain",),
        "Write example.com, or .example.com for its sub-domains, too: no scheme, port or path.",
    ),
    (("ports can only be set",), "Set Network.Type to Bridge or Host."),
    (("static port",), "Give each port a number of its own from 1024 to 65535, or leave Static out."),
    (("publisher must be set",), "Set a publisher, for example local, or drop the result paths."),
    (("task timeouts",), "Raise TotalTimeout or lower the other two."),
)


def validate_submission(job: Job | None) -> None:
    """Check a job as a client sends it, before defaults are filled in.

    Raises
    ------
    ValidationError
        One or more rules are broken; every one is in the message, a line each.
    """
    problems = ["empty/nil job"] if job is None else _submission(job, stored=False)
    if problems:
        # Upstream answers 400 with the code InternalError here, and clients print what they get.
        raise ValidationError(problems, code="InternalError", component="APIServer", hint=hint_of(problems))


def validate_stored(job: Job) -> None:
    """Check a job as it will be stored, with ID, name, namespace and defaults.

    Raises
    ------
    ValidationError
        One or more rules are broken; every one is in the message, a line each.
    """
    problems = []
    if not job.id.strip():
        problems.append("missing job ID")
    if any(character.isspace() for character in job.id):
        problems.append("job ID contains a space")
    if "\0" in job.id:
        problems.append("job ID contains a null character")
    if not job.name.strip():
        problems.append("missing job name")
    if "\0" in job.name:
        problems.append("job Name contains a null character")
    if not job.namespace.strip():
        problems.append("job must be in a namespace")
    problems += _submission(job, stored=True)
    if problems:
        raise ValidationError(problems, code="BadRequest", component="JobStore", hint=hint_of(problems))


def _submission(job: Job, *, stored: bool) -> list[str]:
    problems = []
    if not job.type:
        problems.append("missing job type")
    elif job.type not in _JOB_TYPES:
        problems.append(f"invalid job type: {_quote(job.type)}")
    count = job.count or 0
    if count < 0:
        problems.append("job count must be >= 0")
    if count > 1 and job.type in (JobType.OPS, JobType.DAEMON):
        problems.append(f"{job.type} jobs cannot specify count > 1 as they run on all matching nodes")
    elif count > _INT32:
        problems.append(f"job count must be <= {_INT32}")
    if abs(job.priority) > _INT32:
        problems.append(f"job priority must be between -{_INT32} and {_INT32}")
    if not job.tasks:
        problems.append("missing job tasks")
    for number, constraint in enumerate(job.constraints, 1):
        problems += _prefixed(f"constraint {number} validation failed", constraint_problems(constraint))
    for task in job.tasks:
        problems += _prefixed(f"task {task.name} validation failed", _task(task, stored=stored))
    return problems


def _task(task: Task, *, stored: bool) -> list[str]:
    problems = []
    if not task.name.strip():
        problems.append("missing task name")
    if "\0" in task.name:
        problems.append("task name cannot contain null characters")
    problems += [problem for name, value in task.env.items() if (problem := _env(name, value))]
    problems += _prefixed("invalid engine", _spec(task.engine))
    problems += _prefixed("invalid timeouts", _timeouts(task.timeouts))
    problems += _prefixed("invalid resources", resource_problems(task.resources))
    problems += _prefixed("invalid input sources", [p for item in task.input_sources for p in _input(item)])
    problems += _prefixed("invalid output", [p for item in task.result_paths for p in _output(item)])
    problems += _input_duplicates(task.input_sources)
    problems += _output_duplicates(task.result_paths)
    problems += _prefixed("invalid network", _network(task.network))
    if stored:
        if task.result_paths and task.publisher.is_empty:
            problems.append("publisher must be set if result paths are set")
        problems += _prefixed("task timeouts validation failed", _total(task.timeouts))
    return problems


def _spec(spec: SpecConfig) -> list[str]:
    if spec is NO_SPEC:
        return ["nil spec config"]
    return ["missing spec type"] if spec.is_empty else []


def _env(name: str, value: str) -> str | None:
    if not name:
        return "environment variable name cannot be empty"
    broken = None
    if name != name.upper():
        broken = "must be uppercase"
    elif not name[0].isalpha():
        broken = "must start with a letter"
    elif not all(character.isalnum() or character == "_" for character in name):
        broken = "can only contain letters, numbers, and underscores"
    elif name.startswith(_RESERVED_ENV):
        broken = f"cannot start with {_RESERVED_ENV}"
    elif not value:
        broken = "cannot have empty value"
    elif "\0" in value:
        broken = "cannot contain a null character"
    return f"environment variable '{name}' {broken}" if broken else None


def _timeouts(timeouts: Timeouts) -> list[str]:
    return [
        f"invalid {name} timeout value: {format_go_duration(seconds)}"
        for name, seconds in (
            ("execution", timeouts.execution_timeout),
            ("queue", timeouts.queue_timeout),
            ("total", timeouts.total_timeout),
        )
        if not 0 <= seconds <= _INT32
    ]


def _total(timeouts: Timeouts) -> list[str]:
    total, execution, queue = timeouts.total_timeout, timeouts.execution_timeout, timeouts.queue_timeout
    if total <= 0 or execution + queue <= total:
        return []
    limits = [format_go_duration(seconds) for seconds in (execution or total, queue, total)]
    return [
        f"execution timeout {limits[0]} and queue timeout {limits[1]} should be less than total timeout {limits[2]}"
    ]


def _input(item: InputSource) -> list[str]:
    problems = [] if item.target.strip() else ["input source is missing a target"]
    return problems + _prefixed("invalid input source", _spec(item.source))


def _output(item: ResultPath) -> list[str]:
    problems = []
    if not item.path.strip():
        problems.append("missing path")
    if not item.name.strip():
        problems.append("missing name")
    if not posixpath.isabs(item.path.strip()):
        problems.append(f"result path `{item.path}` must be absolute")
    return problems


def _input_duplicates(inputs: list[InputSource]) -> list[str]:
    aliases = _duplicates([item.alias.strip() for item in inputs])
    targets = _duplicates([item.target.strip() for item in inputs])
    return [f"input source with alias '{alias}' already exists" for alias in aliases] + [
        f"input source with target '{target}' already exists" for target in targets
    ]


def _output_duplicates(outputs: list[ResultPath]) -> list[str]:
    names = _duplicates([item.name.strip() for item in outputs])
    paths = _duplicates([item.path.strip() for item in outputs])
    return [f"result path with name '{name}' already exists" for name in names] + [
        f"result path '{path}' already exists" for path in paths
    ]


def _network(network: NetworkConfig) -> list[str]:
    problems = []
    if network.domains and network.type is not NetworkType.HTTP:
        problems.append("domains can only be set for HTTP network mode")
    problems += [
        f"invalid domain {_quote(domain)}"
        for domain in network.domains
        if not _DOMAIN.fullmatch(domain.strip()) and not _is_address(domain.strip())
    ]
    if network.ports and network.type not in (NetworkType.HOST, NetworkType.BRIDGE):
        return [*problems, "ports can only be set for Host or Bridge network modes"]
    if network.type is NetworkType.HTTP and not network.domains:
        # Officially each node refuses it, which is no answer to a typing error.
        problems.append(NO_DOMAINS)
    return problems + _ports(network)


def _ports(network: NetworkConfig) -> list[str]:
    problems = []
    for port in network.ports:
        broken = _port(port)
        if broken:
            problems.append(broken)
        elif network.type is NetworkType.HOST and port.target:
            problems.append("target ports cannot be set for Host network mode")
    good = [port for port in network.ports if not _port(port)]
    problems += [f"duplicate port mapping name {_quote(n)}" for n in _duplicates([p.name for p in good])]
    problems += [f"duplicate port mapping static port {n}" for n in _duplicates([p.static for p in good])]
    if network.type is NetworkType.BRIDGE:
        problems += [f"duplicate port mapping target port {n}" for n in _duplicates([p.target for p in good])]
    return problems


def _port(port: Port) -> str | None:
    if not port.name:
        return "port mapping name is required"
    if not _PORT_NAME.fullmatch(port.name):
        return (
            "port name must be a valid environment variable name: "
            "start with letter/underscore and contain only letters, numbers, and underscores"
        )
    if len(port.name) > _PORT_NAME_LIMIT:
        return f"port name too long (max {_PORT_NAME_LIMIT} characters)"
    if port.static and port.static < 1024:
        return f"static port {port.static} is in privileged port range (1-1023)"
    if port.static > 65535:
        return f"static port {port.static} is above maximum valid port 65535"
    if not 0 <= port.target <= 65535:
        return f"invalid target port {port.target}"
    if port.host_network and not _is_address(port.host_network):
        return f"invalid host network IP address: {port.host_network}"
    return None


def _is_address(text: str) -> bool:
    if "%" in text:
        return False  # a zone may hold any text, and Go's addresses have none
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _duplicates(values: list[_T]) -> list[_T]:
    """Return each non-empty value that occurs again, once."""
    earlier: set[_T] = set()
    again: dict[_T, None] = {}
    for value in values:
        if value and value in earlier:
            again[value] = None
        earlier.add(value)
    return list(again)


def _prefixed(prefix: str, problems: list[str]) -> list[str]:
    """Put the prefix before the first problem: joined by newlines this is how Go nests joined errors."""
    return [f"{prefix}: {problems[0]}", *problems[1:]] if problems else []


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def hint_of(problems: list[str]) -> str:
    """Return what to do about broken rules."""
    hints = []
    for starts, hint in _HINTS:
        if any(start in problem for start in starts for problem in problems):
            hints.append(hint)
    return " ".join(hints)
