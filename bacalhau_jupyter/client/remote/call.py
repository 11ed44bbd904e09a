"""The job of a call: a Python body that calls a function, which travels with its arguments."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.bodies.program import BODY, DESCRIPTION, cloudpickle_files, runner_files
from bacalhau_jupyter.client.bodies.values import by_value
from bacalhau_jupyter.client.inputs.inline import ship_files
from bacalhau_jupyter.client.inputs.modules import Snapshot, snapshot
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.client.jobs.environments import ToSpec, named
from bacalhau_jupyter.client.jobs.options import DEFAULT_OPTIONS, JobOptions
from bacalhau_jupyter.client.jobs.python_body import (
    KIT,
    choose_engine,
    in_container,
    in_own_environment,
    may_travel,
    refuse_other_python,
)
from bacalhau_jupyter.client.jobs.titles import titled
from bacalhau_jupyter.client.remote.modules import NeededModules
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.node import NodeInfo

VALUE = "value"
"""Name under which a call's value comes back."""

_BODY = b"value = call()\n"
_MOST_SOURCE = 256 * 1024


@dataclass(frozen=True)
class Place:
    """Where calls run.

    Attributes
    ----------
    image
        Image with a Python of this one's minor version; empty for this Python's own environment.
    engine
        ``docker`` or ``process`` when asked for.
    options
        What shapes the job besides.
    takes_modules
        Whether the modules beside the caller travel that the call needs.
    """

    image: str = ""
    engine: str = ""
    options: JobOptions = field(default_factory=lambda: DEFAULT_OPTIONS)
    takes_modules: bool = True

    def with_label(self, label: Mapping[str, str]) -> Place:
        """Return the same place for jobs that carry labels besides."""
        return replace(self, options=replace(self.options, labels={**(self.options.labels or {}), **label}))


def job_of_call(
    call: functools.partial[Any],
    place: Place,
    node: NodeInfo,
    *,
    shares_machine: bool,
    environment: ToSpec,
) -> tuple[Job, str]:
    """Return the job of a call, and a warning for the person (or an empty text).

    Parameters
    ----------
    call
        The function with its arguments.
    place
        Where it runs.
    node
        The connected node.
    shares_machine
        Whether that node runs on this machine.
    environment
        Registers this Python with the node (`Client.environment`).

    Raises
    ------
    BacalhauError
        The function or an argument can't travel, or no engine can run it.
    """
    name = name_of(call.func)
    engine = place.engine or choose_engine(
        node,
        f"a call of {name}",
        asks_container=bool(place.image) or place.options.asks_container,
        shares_machine=shares_machine,
    )
    if engine not in ("docker", "process"):
        raise BadRequest(
            f"a call of {name} runs with engine='docker' or engine='process', not {shown(engine[:80])!r}",
            hint="functions travel to the same Python only; a cell with --engine wasm runs pure Python",
        )
    if engine == "docker":
        refuse_other_python(place.image, name)
    elif place.image:
        raise BadRequest("engine='process' runs in this Python's own environment, not in an image")
    files, warning = _files(call, name, takes_modules=place.takes_modules)
    kit = ship_files(files, KIT[engine], what=f"the call of {name}")
    options = replace(place.options, inputs=[*place.options.inputs, kit])
    if engine == "process":
        travels = may_travel(options, shares_machine=shares_machine)
        program = in_own_environment(None, environment if shares_machine else named, travels=travels)
    else:
        program = in_container(place.image)
    return titled(build.job_of(program, options), f"{name}(…)"), warning


def name_of(function: Callable[..., Any]) -> str:
    """Return what to call a function in messages."""
    return str(getattr(function, "__name__", type(function).__name__))


def _files(call: functools.partial[Any], name: str, *, takes_modules: bool) -> tuple[dict[str, bytes], str]:
    needed = NeededModules()
    pickled = by_value(call, f"{name}(…)", needed.see)
    modules = snapshot(needed.statements(), _own_folders()) if takes_modules else Snapshot()
    description = {
        "in": {"call": ["call.pickle", "cloudpickle"]},
        "out": [VALUE],
        "python": sys.version_info[:2],
        "call": name,
        "source": _source(call.func),
        "ways": [
            'pip=["NAME"] brings it along',
            "install it for this Python (pip install NAME), or choose an image that holds it (image=…)",
        ],
    }
    files = {
        **runner_files(),
        **cloudpickle_files(),
        BODY: _BODY,
        DESCRIPTION: encode(description),
        "in/call.pickle": pickled,
        **{f"modules/{path}": data for path, data in modules.files.items()},
    }
    return files, modules.warning


def _own_folders() -> list[Path]:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = [Path.cwd(), *([Path(script).resolve().parent] if script else [])]
    return list(dict.fromkeys(folders))


def _source(function: Callable[..., Any]) -> str:
    """Return the function's own lines, each with its number, so that a traceback shows them; else an empty text."""
    # What is imported in the job has its lines there.
    if getattr(function, "__module__", "") != "__main__":
        return ""
    with suppress(OSError, TypeError):
        lines: Sequence[str]
        lines, first = inspect.getsourcelines(function)
        text = "\n" * (first - 1) + "".join(lines)
        return text if len(text) <= _MOST_SOURCE else ""
    return ""
