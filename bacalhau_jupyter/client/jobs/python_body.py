"""Where a body of ours runs: in the environment of the Python that submits it, or in a container with a Python."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.client.bodies.program import RUNNER
from bacalhau_jupyter.client.jobs.environments import ToSpec
from bacalhau_jupyter.client.jobs.interpreters import own_python
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.node import NodeInfo

KIT = {"process": "/inputs/.bacalhau", "docker": "/.bacalhau", "wasm": "/.bacalhau"}
"""Where a job finds the body and the variables. A container can't mount inside a read-only ``/inputs``."""

PYTHONS = ("python3", "python")
"""How images call Python, in the order in which it is looked for."""

FIND_PYTHON = (
    f'for p in {" ".join(PYTHONS)}; do command -v "$p" >/dev/null 2>&1 && exec "$p" -u "$@"; done; '
    "echo 'this image holds no Python (neither python3 nor python)' >&2; exit 127"
)
"""A shell script that runs the Python of an image with the arguments that follow."""

_OFFICIAL_IMAGE = re.compile(r"(?:.*/)?python:(\d+)\.(\d+)(?:[.\-@].*)?$")


def choose_engine(node: NodeInfo, what: str, *, asks_container: bool, shares_machine: bool) -> str:
    """Say which engine runs a body: the submitting Python's own environment when it can, else a container.

    Parameters
    ----------
    node
        The connected node.
    what
        What is to run, for messages.
    asks_container
        Whether something only a container gives is asked for: an image, a GPU.
    shares_machine
        Whether the node runs on this machine, so that this Python is there.

    Raises
    ------
    BacalhauError
        No engine of the node can run it; the reason of each is named.
    """
    info = node.compute_node_info
    offered = {name.lower() for name in info.execution_engines or []}
    if asks_container:
        return "docker"
    if shares_machine and "process" in offered:
        return "process"
    if "docker" in offered or not shares_machine:
        return "docker"
    reasons = (
        "; ".join(f"{name}: {why}" for name, why in info.engine_problems.items()) or "no engine is set up"
    )
    raise BacalhauError(f"this node has no engine for {what}: {reasons}", component="Notebook")


def may_travel(options: JobOptions, *, shares_machine: bool) -> bool:
    """Whether a body may run with the Python of a node elsewhere: where the job names such a node, or has no other.

    Without a choice of nodes a body runs where its modules are.
    """
    return bool(options.constraints or options.host) or options.target == "all" or not shares_machine


def in_own_environment(
    command: list[str] | None, environment: ToSpec, *, workdir: str = "", travels: bool = False
) -> SpecConfig:
    """Return the engine of a body that runs beside this Python; without a command the runner of Python bodies.

    Parameters
    ----------
    environment
        Turns the description of this Python into what the spec says of it.
    travels
        Whether the own Python of a node elsewhere will do, too.
    """
    python = own_python()
    reference = dict(environment(python))
    params: dict[str, Any] = {
        "Command": command or [sys.executable, "-u", f"inputs/.bacalhau/{RUNNER}"],
        "Python": {**reference, "StandIn": sys.executable} if travels else reference,
    }
    if python["Paths"]:
        params["EnvironmentVariables"] = ["PYTHONPATH=" + ":".join(python["Paths"])]
    if workdir:
        params["WorkingDirectory"] = workdir
    return SpecConfig(type="process", params=params)


def in_container(image: str, *, workdir: str = "") -> SpecConfig:
    """Return the engine of a Python body in a container; without an image one with this Python's minor version."""
    params: Mapping[str, Any] = {
        "Image": image or f"python:{sys.version_info.major}.{sys.version_info.minor}",
        "Entrypoint": ["sh", "-c", FIND_PYTHON, "sh", f"{KIT['docker']}/{RUNNER}"],
        "WorkingDirectory": workdir or "/",
    }
    return SpecConfig(type="docker", params=dict(params))


def refuse_other_python(image: str, what: str) -> None:
    """Refuse an image whose name says that its Python can't read what this one pickled.

    Other images are judged by the job itself, before it reads anything.

    Raises
    ------
    BadRequest
        The image is ``python:X.Y`` of another minor version.
    """
    named = _OFFICIAL_IMAGE.match(image)
    own = sys.version_info[:2]
    if named and (int(named[1]), int(named[2])) != own:
        raise BadRequest(
            f"{what} travels from Python {own[0]}.{own[1]} to a Python of the same minor version only, "
            f"and {image} has {named[1]}.{named[2]}",
            hint=f"--image python:{own[0]}.{own[1]}, or an image of your own with that Python",
        )
