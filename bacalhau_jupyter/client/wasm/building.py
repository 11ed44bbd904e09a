"""Build WebAssembly jobs: ``wasm(…)`` in Python, and what ``wasm run`` and cells make of a module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from bacalhau_jupyter.client.inputs.inline import ship_files
from bacalhau_jupyter.client.jobs.build import job_of, sources_of
from bacalhau_jupyter.client.jobs.options import DEFAULT_OPTIONS, JobKeywords, JobOptions
from bacalhau_jupyter.client.wasm.checking import problems, refuse
from bacalhau_jupyter.client.wasm.modules import (
    ENTRY,
    ENTRY_TARGET,
    IMPORTED,
    Placed,
    check_is_held,
    of_bytes,
    of_file,
    placed,
)
from bacalhau_jupyter.client.wasm.text import MODULE, SOURCE, compiled, invalid, problem_of
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.webassembly.module import ENTRY_POINT
from bacalhau_jupyter.models.webassembly.reading import read_module

TYPE = "wasm"
"""The engine's type on the wire."""


CELL_PLACE = "/.bacalhau"
"""Where a job finds what a cell compiled."""


@dataclass(frozen=True)
class Program:
    """What a WebAssembly job runs.

    Attributes
    ----------
    module
        The entry module: a file of this machine or an address as ``wasm run`` takes it, a path, or its bytes.
    arguments
        What the program gets as its arguments.
    entry_point
        The function that is called.
    import_modules
        Modules that it imports, as ``-I/--import-modules`` takes them.
    """

    module: str | Path | bytes | Placed
    arguments: Sequence[str] = ()
    entry_point: str = ENTRY_POINT
    import_modules: Sequence[str] = ()

    def entry(self) -> Placed:
        """Find the entry module.

        Raises
        ------
        BadRequest
            It can't be read, or nodes can't run it.
        """
        if isinstance(self.module, Placed):
            return self.module
        if isinstance(self.module, bytes):
            return of_bytes(self.module, ENTRY_TARGET)
        if isinstance(self.module, Path):
            return of_file(self.module.expanduser(), ENTRY_TARGET)
        return placed(self.module, ENTRY_TARGET, ENTRY)

    def imported(self) -> list[Placed]:
        """Find the modules that it imports; raises BadRequest as `entry`."""
        return [placed(text, "", IMPORTED) for text in self.import_modules]


def wasm(
    module: str | Path | bytes,
    arguments: Sequence[str] = (),
    *,
    entry_point: str = ENTRY_POINT,
    import_modules: Sequence[str] = (),
    **options: Unpack[JobKeywords],
) -> Job:
    """Build a job that runs a WebAssembly module.

    Parameters
    ----------
    module, arguments, entry_point, import_modules
        The members of `Program`.
    **options
        The fields of `JobOptions`.

    Raises
    ------
    BacalhauError
        A module can't be run, or an option is not valid.
    """
    return job_of_program(Program(module, arguments, entry_point, import_modules), JobOptions(**options))


def of_text(text: str, *, first_line: int = 1) -> Placed:
    """Compile the text form of a module; the text travels beside the module, so that it can be shown again.

    Parameters
    ----------
    text
        The text.
    first_line
        Number of its first line, as the person sees it.

    Raises
    ------
    BadRequest
        The text has an error, is a component, or can't be compiled here.
    """
    what = "the cell's module"
    data = compiled(text, first_line=first_line)
    module = read_module(data, what)
    if problem := problem_of(data):
        raise BadRequest(invalid(problem, text, data, first_line))
    files = {SOURCE: text.strip("\n").encode() + b"\n", MODULE: data}
    return Placed(f"{CELL_PLACE}/{MODULE}", ship_files(files, CELL_PLACE, what="the cell"), module, what)


def job_of_program(program: Program, options: JobOptions = DEFAULT_OPTIONS) -> Job:
    """Build the job of a program, as official clients do.

    Raises
    ------
    BacalhauError
        A module can't be run, or an option is not valid.
    """
    entry, imported = program.entry(), program.imported()
    inputs = [source for item in options.inputs for source in sources_of(item)]
    check_modules(entry, imported, inputs, program.entry_point)
    brought = [each.source for each in (entry, *imported) if each.source is not None]
    params: dict[str, Any] = {"EntryModule": entry.target, "Entrypoint": program.entry_point}
    if program.arguments:
        params["Parameters"] = list(program.arguments)
    if imported:
        params["ImportModules"] = [each.target for each in imported]
    engine = SpecConfig(type=TYPE, params=params)
    return job_of(engine, replace(options, inputs=[*inputs, *brought]))


def check_modules(
    entry: Placed, imported: Sequence[Placed], inputs: Sequence[InputSource], entry_point: str
) -> None:
    """Refuse modules that can't run, as far as it is known here.

    Raises
    ------
    BadRequest
        One can't.
    """
    targets = [item.target for item in inputs]
    check_is_held(entry, targets, ENTRY)
    for each in imported:
        check_is_held(each, [*targets, entry.target], IMPORTED)
    refuse(problems(entry, imported, targets, entry_point))
