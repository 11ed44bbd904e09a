"""What the two tiers have in common: the command, the environment, the limits of one execution."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.engines.network.rules import has_way_out
from bacalhau_jupyter.engines.network.variables import with_proxy
from bacalhau_jupyter.engines.process.params import ProcessParams
from bacalhau_jupyter.engines.process.visible_paths import View
from bacalhau_jupyter.engines.supervised.gpus import NO_GPUS, Access
from bacalhau_jupyter.engines.supervised.launch import INPUTS, OUTPUTS, Confined, user_name
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.plugins.engine import RunRequest

SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_INHERITED = ("LANG", "LANGUAGE", "TZ")
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One execution to start: what was asked for and what this host shows.

    ``user`` is the uid and gid the job becomes, -1 for the node's own; ``scratch`` is private to the execution and, for
    a tier without mounts, reachable by ``user``; ``ours`` is the compute node's data directory; ``gpus`` are for tiers
    with mounts.
    """

    request: RunRequest
    params: ProcessParams
    view: View
    scratch: Path
    ours: Path
    user: int = -1
    gpus: Access = NO_GPUS

    @property
    def host_network(self) -> bool:
        """Whether the job shares this host's network."""
        return self.request.execution.job is not None and (
            self.request.execution.job.task.network.type is NetworkType.HOST
        )


class Tier(Protocol):
    """A way to confine a job."""

    label: str
    """What the record and the node's description say."""
    mounts: bool
    """Whether inputs and outputs can appear at any absolute path."""
    has_networks: bool
    """Whether a job can have a network of its own."""

    def problem(self) -> str:
        """Say why the tier can't work here as far as that is visible, or ""."""
        ...

    def confine(self, launch: Launch) -> Confined:
        """Work out how to start an execution; creates what it needs in the scratch directory."""
        ...


def environment(launch: Launch, inputs: str, outputs: str, scratch: str) -> dict[str, str]:
    """Return the job's environment: an allow-list of ours, then what the spec says.

    Parameters
    ----------
    launch
        The execution.
    inputs, outputs, scratch
        Where the job finds these directories.
    """
    variables = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("LC_")
    }
    variables.setdefault("LANG", "C.UTF-8")
    user = user_name(launch.user)
    search = [*launch.view.programs, *SYSTEM_PATH]
    variables |= {
        "PATH": ":".join(dict.fromkeys(search)),
        "HOME": scratch,
        "TMPDIR": scratch,
        "USER": user,
        "LOGNAME": user,
        "PYTHONUNBUFFERED": "1",  # lines appear when they are printed
        "PYTHONDONTWRITEBYTECODE": "1",  # the view is read-only
    }
    if launch.request.resources.cpu > 0:
        # Without a control group nothing else holds a job to its share; libraries keep to it when told.
        threads = str(max(1, round(launch.request.resources.cpu)))
        variables |= dict.fromkeys(_THREADS, threads)
    for text in launch.params.environment_variables:
        name, _, value = text.partition("=")
        variables[name] = value
    variables |= with_proxy(launch.request.env) if has_way_out(launch.request) else launch.request.env
    variables |= launch.gpus.variables
    if launch.view.left_out:
        variables["BACALHAU_PATHS_NOT_SHOWN"] = ":".join(launch.view.left_out)
    variables |= {
        "BACALHAU_EXECUTION_ID": launch.request.execution.id,
        "BACALHAU_INPUTS": inputs,
        "BACALHAU_OUTPUTS": outputs,
    }
    return variables


def program(launch: Launch, env: dict[str, str]) -> list[str]:
    """Return the command with its program resolved.

    Raises
    ------
    EngineError
        The program is not in the job's view.
    """
    name, *arguments = launch.params.command
    if name.startswith("/"):
        if not _inside_job(name) and not (_shown(name, launch.view) and os.access(name, os.X_OK)):
            raise EngineError(
                f"the command {name!r} does not exist in the job's view of this machine",
                hint="give a program of /usr or of the Python environment, or bring it as an input",
                fails_execution=True,
            )
        return [name, *arguments]
    if "/" in name:
        return [name, *arguments]
    for directory in env["PATH"].split(":"):
        candidate = posixpath.join(directory, name)
        if _shown(candidate, launch.view) and os.access(candidate, os.X_OK) and not Path(candidate).is_dir():
            return [candidate, *arguments]
    raise EngineError(
        f"the command {name!r} was not found on the job's PATH",
        hint=f"the PATH is {env['PATH']}",
        fails_execution=True,
    )


def _inside_job(path: str) -> bool:
    return any(path.startswith(f"{root}/") for root in (INPUTS, OUTPUTS, "/job", "/tmp"))


def _shown(path: str, view: View) -> bool:
    if posixpath.normpath(path) != path:
        return False
    parents = [Path(path), *Path(path).parents]
    return any(shown in parents for shown in view.shown)
