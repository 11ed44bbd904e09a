"""Modules of a WebAssembly job: files of this machine and addresses become inputs, anything else is a target."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Sequence
from typing import Any

from bacalhau_jupyter.client.inputs.uri import split_input
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import SpecConfig

ENTRY_TARGET = "/main.wasm"
"""Where the entry module lies."""


def wasm_engine(
    module: str,
    arguments: Sequence[str],
    *,
    entry_point: str,
    import_modules: Sequence[str],
) -> tuple[SpecConfig, list[str]]:
    """Return the engine's part of a job, and its further inputs as ``-i`` takes them.

    Raises
    ------
    BadRequest
        A module to import is a file or an address, and has no target.
    """
    entry, inputs = _placed(module, ENTRY_TARGET)
    imports = []
    for text in import_modules:
        target, more = _placed(text, "")
        imports.append(target)
        inputs += more
    params: dict[str, Any] = {"EntryModule": entry, "Entrypoint": entry_point}
    if arguments:
        params["Parameters"] = list(arguments)
    if imports:
        params["ImportModules"] = imports
    return SpecConfig(type="wasm", params=params), inputs


def _placed(text: str, target: str) -> tuple[str, list[str]]:
    """Return where a module lies in the job, and the input that brings it there."""
    fields = split_input(text)
    uri = fields.uri or ""
    if "://" not in uri and not pathlib.Path(uri).is_file():
        return text, []
    place = fields.target or target
    if not place:
        raise BadRequest(
            f"-I/--import-modules {text!r} has no target",
            hint=f"write where it lies in the job: {text}:/lib.wasm",
        )
    options = [f"opt={key}={value}" for key, value in fields.options.items()]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([f"src={uri}", f"dst={place}", *options])
    return place, [line.getvalue()]
