"""``wasm …``: WebAssembly modules as jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.options import job_options, listed, spec_options
from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.flags.waiting import progress_options, wait_options
from bacalhau_jupyter.grammar.output import Details, Result, Table
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.submitting import Waiting, submit

F = TypeVar("F", bound=Callable[..., Any])


def module_options(function: F) -> F:
    """Flags that say what is called, and which modules it needs."""
    imports = click.option(
        "-I",
        "--import-modules",
        multiple=True,
        metavar="TARGET|FILE:TARGET",
        shell_complete=completing.inputs,
        help="Modules that the entry module imports: targets of inputs, or files of this machine.",
    )
    entry = click.option(
        "--entry-point", default="_start", show_default=True, help="Function of the entry module to call."
    )
    return imports(entry(function))


@bacalhau.group()
def wasm() -> None:
    """Run WebAssembly modules."""


@wasm.command("run")
@spec_options()
@module_options
@wait_options
@progress_options
@click.argument("module", shell_complete=completing.inputs)
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS...]")
def wasm_run(
    module: str,
    arguments: Sequence[str],
    import_modules: Sequence[str],
    entry_point: str,
    **values: Any,
) -> Any:
    """Run MODULE (a file of this machine, an address, or the target of an input) as a job."""
    from bacalhau_jupyter.client.wasm.building import Program, job_of_program

    program = Program(module, arguments, entry_point, listed(import_modules))
    return submit(job_of_program(program, job_options(values, client)), Waiting.of(values))


# A module has no working directory.
wasm_run.params = [param for param in wasm_run.params if param.name != "workdir"]


@wasm.command("validate")
@module_options
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="URI[:TARGET]",
    shell_complete=completing.inputs,
    help="An input of the job, which may hold imported modules.",
)
@print_options
@click.argument("module", type=click.Path(dir_okay=False))
def wasm_validate(
    module: str, import_modules: Sequence[str], entry_point: str, inputs: Sequence[str], wide: bool
) -> Result:
    """Check whether nodes can run MODULE, a file of this machine, without submitting it."""
    from bacalhau_jupyter.client.wasm.validating import validated

    del wide
    checked = validated(module, listed(import_modules), inputs, entry_point)
    facts = {
        "Module": checked.what,
        "Entry point": entry_point,
        "Functions": ", ".join(checked.functions),
        "Memory": checked.memory,
        "Checked": checked.depth,
    }
    sections: list[tuple[str, dict[str, object] | Table | str]] = [("", dict(facts))]
    if checked.imports:
        rows = [(each.module, ", ".join(each.names), each.provider) for each in checked.imports]
        sections.append(("Imports", Table(("module", "names", "provided by"), rows)))
    lines = [f"✕ {text}" for text in checked.problems] or ["✓ nodes can run it"]
    sections.append(("", "\n".join([*lines, *(f"Hint: {hint}" for hint in checked.hints)])))
    return Details(checked.record(), sections, is_failure=bool(checked.problems))
