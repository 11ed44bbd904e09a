"""A cell becomes a job: which program runs the body, on which engine, with what beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from bacalhau_jupyter.client.inputs.inline import inline_files
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.client.jobs.environments import ToSpec
from bacalhau_jupyter.client.jobs.interpreters import own_python
from bacalhau_jupyter.client.jobs.options import DEFAULT_OPTIONS, JobOptions
from bacalhau_jupyter.client.results.references import ResultPart
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import NodeInfo
from bacalhau_jupyter.models.spec import InputSource, SpecConfig
from bacalhau_jupyter.notebook.values import Packed, pack

KIT = {"process": "/inputs/.bacalhau", "docker": "/.bacalhau"}
"""Where a job finds the body and the variables. A container can't mount inside a read-only ``/inputs``."""

_AGAIN = b"""# What a process that multiprocessing spawned runs in place of the cell's body; leaves no name behind.
__import__("runpy").run_path(__file__[: -len("_bacalhau_cell.py")] + "job_runner.py")["fill"](globals())
"""

DEFAULT_SHELL_IMAGE = "debian:stable-slim"


@dataclass(frozen=True)
class Cell:
    """What the person typed.

    Attributes
    ----------
    language
        ``sh``, ``bash``, ``python`` or ``docker``.
    body
        The cell's text below the first line.
    image, command
        For ``docker``; an image also moves the other languages into a container.
    engine
        ``docker`` or ``process`` when asked for.
    variables
        Variables of ``--in``, by name.
    wanted
        Names of ``--out``.
    workdir
        Working directory inside the job.
    options
        What shapes the job besides its engine.
    """

    language: str
    body: str
    image: str = ""
    command: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    engine: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    wanted: Sequence[str] = ()
    workdir: str = ""
    options: JobOptions = DEFAULT_OPTIONS


def job_of_cell(cell: Cell, node: NodeInfo, *, shares_machine: bool, environment: ToSpec = dict) -> Job:
    """Build the job of a cell.

    Parameters
    ----------
    cell
        The cell.
    node
        The connected node, whose engines decide where a body can run.
    shares_machine
        Whether that node runs on this kernel's machine, so that the kernel's own Python is there.
    environment
        Registers this kernel's Python with the node (`Client.environment`).

    Raises
    ------
    BacalhauError
        No engine of the node can run it; the reason of each is named.
    """
    # What stands above a Python body's first line counts: a traceback's line numbers are the cell's.
    body = cell.body.rstrip("\n") if cell.language == "python" else cell.body.strip("\n")
    if cell.language == "docker" and not body.strip():
        _no_variables(cell)
        container = build.docker_engine(
            cell.image, cell.command, entrypoint=cell.entrypoint, workdir=cell.workdir
        )
        return build.job_of(container, cell.options)
    if not body.strip():
        raise BadRequest(f"the cell has no body for {cell.language} to run")
    engine = choose_engine(cell, node, shares_machine=shares_machine)
    kit, extra = _kit(cell, body, KIT[engine])
    options = replace(cell.options, inputs=[*cell.options.inputs, kit, *extra])
    if engine == "process":
        return build.job_of(_process(cell, environment), options)
    return build.job_of(_container(cell, body), options)


def choose_engine(cell: Cell, node: NodeInfo, *, shares_machine: bool) -> str:
    """Say which engine runs a body: the kernel's own environment when it can, else a container."""
    info = node.compute_node_info
    offered = {name.lower() for name in info.execution_engines or []}
    engine = cell.engine or (
        "docker" if cell.language == "docker" or cell.image or cell.options.asks_gpu else ""
    )
    if engine:
        return engine
    if shares_machine and "process" in offered:
        return "process"
    if "docker" in offered or not shares_machine:
        return "docker"
    reasons = (
        "; ".join(f"{name}: {why}" for name, why in info.engine_problems.items()) or "no engine is set up"
    )
    raise BacalhauError(
        f"this node has no engine for a {cell.language} cell: {reasons}", component="Notebook"
    )


def _process(cell: Cell, environment: ToSpec) -> SpecConfig:
    commands = {
        "python": [sys.executable, "-u", "inputs/.bacalhau/job_runner.py"],
        "sh": ["sh", "inputs/.bacalhau/cell.sh"],
        "bash": ["bash", "inputs/.bacalhau/cell.sh"],
    }
    if cell.language not in commands:
        raise BadRequest("--engine process runs sh, bash and python cells, not images")
    python = own_python()
    params: dict[str, Any] = {"Command": commands[cell.language], "Python": environment(python)}
    if python["Paths"]:
        params["EnvironmentVariables"] = ["PYTHONPATH=" + ":".join(python["Paths"])]
    if cell.workdir:
        params["WorkingDirectory"] = cell.workdir
    return SpecConfig(type="process", params=params)


def _container(cell: Cell, body: str) -> SpecConfig:
    if cell.language == "python":
        image = cell.image or f"python:{sys.version_info.major}.{sys.version_info.minor}"
        entrypoint = ["python", "-u", f"{KIT['docker']}/job_runner.py"]
    elif cell.language == "docker":
        image, entrypoint = cell.image, [*interpreter(body), f"{KIT['docker']}/cell.sh"]
    else:
        image = cell.image or DEFAULT_SHELL_IMAGE
        entrypoint = [cell.language, f"{KIT['docker']}/cell.sh"]
    params: dict[str, Any] = {
        "Image": image,
        "Entrypoint": entrypoint,
        "WorkingDirectory": cell.workdir or "/",
    }
    if cell.command:
        params["Parameters"] = list(cell.command)
    return SpecConfig(type="docker", params=params)


def interpreter(body: str) -> list[str]:
    """Return the program of the body's ``#!`` line, else ``sh``."""
    first = body.split("\n", 1)[0]
    words = first[2:].strip().split(None, 1) if first.startswith("#!") else []
    return words or ["sh"]


def _kit(cell: Cell, body: str, target: str) -> tuple[InputSource, list[InputSource]]:
    """Pack the body, the runner and the variables; return that input and the variables a shell body reads."""
    files: dict[str, bytes] = {}
    results = {
        name: value for name, value in cell.variables.items() if isinstance(value, JobResult | ResultPart)
    }
    # A job's result is passed by reference: a directory below the inputs.
    extra = [source for name, value in results.items() for source in value.to(f"/inputs/{name}").as_inputs()]
    variables = {name: value for name, value in cell.variables.items() if name not in results}
    if cell.language == "python":
        packed = {name: pack(name, value, python_body=True) for name, value in variables.items()}
        packed |= {name: Packed(name, "input", b"") for name in results}
        files["job_runner.py"] = resources.files(__package__).joinpath("job_runner.py").read_bytes()
        files["_bacalhau_cell.py"] = _AGAIN
        files["cell.py"] = body.encode() + b"\n"
        files["cell.json"] = encode(
            {"in": {name: [item.file, item.kind] for name, item in packed.items()}, "out": list(cell.wanted)}
        )
        files |= {f"in/{item.file}": item.data for item in packed.values() if item.kind != "input"}
    else:
        files["cell.sh"] = body.encode() + b"\n"
        for name, value in variables.items():
            item = pack(name, value, python_body=False)
            extra.append(build.inline(item.data, f"/inputs/{item.file}"))
    return inline_files(files, target, what="the cell with its variables"), extra


def _no_variables(cell: Cell) -> None:
    if cell.variables:
        raise BadRequest("--in needs a cell body that reads the variables")
