"""A notebook as a job: parameters go in after the cell tagged ``parameters``, the executed copy comes back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from bacalhau_jupyter.client.inputs.inline import ship_files
from bacalhau_jupyter.client.inputs.modules import Snapshot, snapshot
from bacalhau_jupyter.client.jobs.build import job_of
from bacalhau_jupyter.client.jobs.environments import ToSpec
from bacalhau_jupyter.client.jobs.interpreters import joined, own_python, python_of
from bacalhau_jupyter.client.jobs.options import DEFAULT_OPTIONS, JobOptions
from bacalhau_jupyter.client.notebooks.copies import COPY
from bacalhau_jupyter.client.notebooks.files import copy_name
from bacalhau_jupyter.client.packages.pending import pending_packages
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.records.node import NodeInfo

LABEL = "jupyter.org/notebook-job"
"""Label of every notebook job; its value names the server that collects the copy, or is ``manual``."""
PATH = "jupyter.org/notebook"
"""Meta key of the place where the notebook lies."""

_KIT = {"process": "/inputs/.bacalhau", "docker": "/.bacalhau"}
_NEEDED = ("nbclient", "ipykernel")
_WAY_OUT = "name an image that holds nbclient and ipykernel: --image quay.io/jupyter/minimal-notebook"


def kernel_argv(notebook: Mapping[str, Any], name: str = "") -> list[str] | None:
    """Return the command of the notebook's kernel on this machine; None for this Python's own.

    Raises
    ------
    BadRequest
        No such kernel is installed, or it is not a Python kernel.
    """
    kernelspec = notebook.get("metadata", {}).get("kernelspec")
    kernel_name = name or (kernelspec.get("name") if isinstance(kernelspec, dict) else "") or "python3"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return None
    try:
        spec = KernelSpecManager().get_kernel_spec(str(kernel_name))
    except (NoSuchKernel, ValueError) as error:
        raise BadRequest(
            f"there is no kernel {kernel_name!r} on this machine",
            hint="--kernel NAME names another one (`jupyter kernelspec list`), --image IMAGE a container",
        ) from error
    return checked_argv(str(kernel_name), spec.argv, spec.language)


def checked_argv(name: str, argv: list[str], language: str) -> list[str]:
    """Return a kernel's command if it is Python's; raises as `kernel_argv` does."""
    if language.lower() != "python" or not argv:
        raise BadRequest(
            f"kernel {name!r} is in {language}; only Python notebooks run without an image", hint=_WAY_OUT
        )
    return argv


def notebook_job(
    notebook: Mapping[str, Any],
    path: str,
    node: NodeInfo,
    *,
    shares_machine: bool,
    environment: ToSpec = dict,
    image: str = "",
    argv: list[str] | None = None,
    workdir: str = "",
    collector: str = "manual",
    modules: Mapping[str, bytes] | None = None,
    options: JobOptions = DEFAULT_OPTIONS,
) -> Job:
    """Build the job that runs a (prepared) notebook.

    Parameters
    ----------
    notebook
        What `with_parameters` returned.
    path
        Where it lies; names the copy.
    node
        The connected node.
    shares_machine
        Whether that node runs on this machine, so that the notebook's own environment is there.
    environment
        Registers the notebook's Python with the node (`Client.environment`).
    image
        Container image to run it in instead.
    argv
        The kernel's command on this machine; None for this Python's own ipykernel.
    workdir
        Working directory inside the job.
    collector
        Who fetches the copy when the job is over.
    modules
        Modules beside it that its cells import: relative path → content (`beside`).
    options
        What shapes the job besides.

    Raises
    ------
    BadRequest, BacalhauError
        The notebook can't run there; the sentence names why, the hint the way out.
    """
    engine = "docker" if image else "process"
    run: dict[str, Any] = {"copy": copy_name(path), "stays": bool(workdir)}
    if image:
        runner = f"{_KIT['docker']}/notebook_runner.py"
        params: dict[str, Any] = {
            "Image": image,
            "Entrypoint": ["python", "-u", runner],
            "WorkingDirectory": workdir or "/",
        }
    else:
        _check_process(node, shares_machine=shares_machine, asks_gpu=options.asks_gpu)
        params, run["kernel"] = _own_environment(argv, environment)
        if workdir:
            params["WorkingDirectory"] = workdir
    kit = ship_files(
        {
            "notebook_runner.py": resources.files(__package__).joinpath("notebook_runner.py").read_bytes(),
            "notebook.ipynb": json.dumps(notebook).encode(),
            "run.json": json.dumps(run).encode(),
            "_bacalhau_directory.py": resources.files("bacalhau_jupyter.client.bodies.runner")
            .joinpath("directory.py")
            .read_bytes(),
            **{f"modules/{name}": data for name, data in (modules or {}).items()},
        },
        _KIT[engine],
        what=f"the notebook {PurePosixPath(path).name}",
    )
    inputs = [*options.inputs, kit]
    if options.pip or options.no_binary:
        # For the kernel's Python; the one that runs the notebook needs none of them.
        python = "" if image else run["kernel"]["argv"][0]
        inputs.append(pending_packages(options.pip, engine, no_binary=options.no_binary, python=python))
    options = dataclasses.replace(
        options,
        inputs=inputs,
        pip=(),
        no_binary=(),
        labels={**(options.labels or {}), LABEL: collector},
    )
    job = job_of(SpecConfig(type=engine, params=params), options)
    return replace(job, meta={**job.meta, PATH: path, COPY: run["copy"]})


def beside(notebook: Mapping[str, Any], folder: Path) -> Snapshot:
    """Return the modules in the notebook's folder that its cells import."""
    cells = [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    return snapshot(["".join(cell["source"]) for cell in cells], [folder])


def _check_process(node: NodeInfo, *, shares_machine: bool, asks_gpu: bool) -> None:
    if not shares_machine:
        raise BadRequest(
            "the connected cluster does not run on this machine, so it lacks the notebook's environment",
            hint=_WAY_OUT,
        )
    info = node.compute_node_info
    if "process" not in {name.lower() for name in info.execution_engines or []}:
        why = info.engine_problems.get("process", "") or "it is not set up"
        raise BacalhauError(
            f"this node has no process engine: {why}", hint=_WAY_OUT, component="Notebook", status=400
        )
    if asks_gpu and (not info.max_capacity.gpu or "process" in info.gpu_problems):
        why = info.gpu_problems.get("process", "") or "it has none"
        raise BadRequest(f"this node can't give a process a GPU: {why}", hint=_WAY_OUT)
    runtime = info.engine_runtimes.get("process", "")
    if runtime and "bubblewrap" not in runtime:
        raise BacalhauError(
            f"this node confines processes with {runtime}, which has no sockets, and a kernel needs them",
            hint=_WAY_OUT,
            component="Notebook",
            status=400,
        )


def _own_environment(argv: list[str] | None, environment: ToSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the engine's params and the kernel's spec: our Python runs the notebook, its own runs the cells."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise BadRequest(
            f"running a notebook as a job needs {' and '.join(missing)} beside bacalhau-jupyter",
            hint=f"pip install {' '.join(missing)}, or {_WAY_OUT}",
        )
    python = own_python()
    kernel = python if argv is None else python_of(argv[0])
    command = [
        kernel["Executable"],
        *(argv or ["", "-m", "ipykernel_launcher", "-f", "{connection_file}"])[1:],
    ]
    params: dict[str, Any] = {
        "Command": [python["Executable"], "-u", "inputs/.bacalhau/notebook_runner.py"],
        "Python": environment(joined(python, kernel)),
    }
    if python["Paths"]:
        params["EnvironmentVariables"] = ["PYTHONPATH=" + ":".join(python["Paths"])]
    spec = {
        "argv": command,
        "display_name": "notebook job",
        "language": "python",
        "env": {"PYTHONPATH": ":".join(kernel["Paths"])},
    }
    return params, spec
