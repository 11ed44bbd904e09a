"""What one execution's supervisor is given: how the job is started, confined and limited."""

from __future__ import annotations

import os
import pwd
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.network.variables import PORT
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.cgroups.limits import PROCESSES
from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.engines.supervised.supervisor.plan import ImageRoot, OutputMove, Plan
from bacalhau_jupyter.plugins.engine import RunRequest

INPUTS, OUTPUTS = "/inputs", "/outputs"
STOP_GRACE_S = 1.0


@dataclass
class Confined:
    """An engine's part of the plan: how the job is started and confined."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    landlock_abi: int = 0
    rules: list[tuple[str, int]] = field(default_factory=list)
    filter: bytes = b""
    user: int = -1
    prints_as: int = -1
    sandbox_files: list[str] = field(default_factory=list)
    status: bool = False
    pinned: list[tuple[str, int, int]] = field(default_factory=list)
    moves: list[OutputMove] = field(default_factory=list)
    advice: str = ""
    holder: bytes = b""
    runner: str = ""
    plain: bool = False
    work: dict[str, Any] = field(default_factory=dict)
    memory_besides: int = 0
    """Bytes that the process around the job takes, beside the memory that the job may use."""
    image: ImageRoot | None = None
    written: list[str] = field(default_factory=list)
    """Directories that the job writes to, beside those of its results."""
    stop_signal: int = 0
    """What the job's first process alone is sent when the job is to end; 0: everybody is sent SIGTERM."""


def user_name(user: int) -> str:
    """Return the name of the job's user; ``job`` for a uid that this machine does not know."""
    if user >= 0:
        return "job"
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "job"


def limits(
    request: RunRequest, memory_besides: int = 0, *, has_own_users: bool = False
) -> list[tuple[int, int]]:
    """Return the resource limits: memory per process (private writable pages), size per file, no core dumps.

    Parameters
    ----------
    has_own_users
        Whether nobody else is a user that the job is: the processes of a user can be limited then. There are fewer
        process IDs than processes that a user may usually have, and without one nothing else of this machine starts.
    """
    all_limits = [(resource.RLIMIT_CORE, 0)]
    if has_own_users:
        all_limits.append((resource.RLIMIT_NPROC, PROCESSES))
    if request.resources.memory > 0:
        # RLIMIT_AS would also count what libraries merely reserve, and refuse programs that use little.
        all_limits.append((resource.RLIMIT_DATA, request.resources.memory + memory_besides))
    if request.resources.disk > 0:
        all_limits.append((resource.RLIMIT_FSIZE, request.resources.disk))
    return all_limits


def assemble(
    request: RunRequest, state: State, node_file: Path, confined: Confined, *, host_network: bool
) -> Plan:
    """Join an engine's part with the execution's own; its results will be the node's again.

    Parameters
    ----------
    request, state
        The execution, and its directory.
    node_file
        Names the node that looks after it.
    confined
        The engine's part.
    host_network
        Whether the job shares this host's network.
    """
    image = confined.image
    has_own_users = confined.user >= 0 or confined.prints_as >= 0
    is_counted_inside = image is not None and image["first_id"] < 0 and host.counts_processes_apart()
    return Plan(
        execution=request.execution.id,
        argv=confined.argv,
        env=confined.env,
        cwd=confined.cwd,
        out=str(request.log_path),
        log_limit=request.log_limit,
        record=str(state.record_file),
        pid_file=str(state.pid_file),
        cancel_file=str(state.cancel_file),
        node_file=str(node_file),
        timeout_s=float(request.timeout_s or 0.0),
        grace_s=float(request.grace_s),
        stop_grace_s=STOP_GRACE_S,
        limits=limits(request, confined.memory_besides, has_own_users=has_own_users),
        group="",
        group_settings=[],
        processes=PROCESSES if is_counted_inside else 0,
        disk=max(0, request.resources.disk),
        disk_places=[*confined.written, *(str(each.path) for each in request.outputs)],
        stop_signal=confined.stop_signal,
        user=confined.user,
        prints_as=confined.prints_as,
        landlock_abi=confined.landlock_abi,
        rules=confined.rules,
        network=host_network,
        filter=confined.filter,
        sandbox_files=confined.sandbox_files,
        status=confined.status,
        pinned=confined.pinned,
        moves=confined.moves,
        advice=confined.advice,
        image=image,
        holder=confined.holder,
        door=str(state.door),
        proxy_port=PORT,
        runner=confined.runner,
        plain=confined.plain,
        memory_besides=confined.memory_besides,
        work=confined.work,
        owned=[str(each.path) for each in request.outputs],
    )
