"""``Params`` of the wasm engine on the wire."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.models.codec import Wire, always, convert
from bacalhau_jupyter.models.jobs.spec import SpecConfig

ENGINE_TYPE = "wasm"
DEFAULT_ENTRY = "_start"


class WasmParams(Wire):
    """What to run.

    Attributes
    ----------
    entry_module, import_modules
        Where the modules lie among the inputs: the target of an input, or a path below one.
    entrypoint
        The function to call; ``_start`` when empty.
    parameters
        What the program finds after its name.
    environment_variables
        Of older clients, by name; those of the task win.
    """

    entry_module: str = always("")
    entrypoint: str = always("")
    parameters: list[str] = always([])
    import_modules: list[str] = always([])
    environment_variables: dict[str, str] = always({})

    @property
    def entry(self) -> str:
        """The function to call."""
        return self.entrypoint or DEFAULT_ENTRY


def read_params(engine: SpecConfig) -> WasmParams:
    """Decode an engine spec's params, leniently.

    Raises
    ------
    BadRequest
        A member has the wrong type.
    """
    params: dict[str, Any] = dict(engine.params or {})
    return convert(params, WasmParams, "Engine.Params")
