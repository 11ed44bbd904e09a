"""``Params`` of the process engine on the wire."""

from __future__ import annotations

from bacalhau_jupyter.models.codec import Wire, always, convert
from bacalhau_jupyter.models.spec import SpecConfig

ENGINE_TYPE = "process"


class PythonEnvironment(Wire):
    """The submitting kernel's own interpreter: what a job must see to import what the kernel imports."""

    executable: str = always("")
    prefixes: list[str] = always([])
    paths: list[str] = always([])


class ProcessParams(Wire):
    """What to run. ``environment_variables`` are ``NAME=VALUE`` texts; an empty ``working_directory`` is ours."""

    command: list[str] = always([])
    environment_variables: list[str] = always([])
    working_directory: str = always("")
    python: PythonEnvironment = always(PythonEnvironment())


def read_params(engine: SpecConfig) -> ProcessParams:
    """Decode an engine spec's params, leniently.

    Raises
    ------
    BadRequest
        A member has the wrong type.
    """
    return convert(engine.params, ProcessParams, "Engine.Params")
