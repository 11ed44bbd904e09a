"""``wasm …``: WebAssembly modules as jobs, on clusters whose nodes run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bacalhau_jupyter.grammar.flags.options import job_options, listed, spec_options
from bacalhau_jupyter.grammar.flags.waiting import progress_options, wait_options
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.submitting import Waiting, submit


@bacalhau.group()
def wasm() -> None:
    """Run WebAssembly modules, on a cluster that has nodes for them (nodes of this version have none)."""


@wasm.command("run")
@spec_options()
@click.option(
    "-I",
    "--import-modules",
    multiple=True,
    metavar="TARGET|FILE:TARGET",
    help="Modules that the entry module imports: targets of inputs, or files of this machine.",
)
@click.option("--entry-point", default="_start", help="Function of the entry module to call.")
@wait_options
@progress_options
@click.argument("module")
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS...]")
def wasm_run(
    module: str,
    arguments: Sequence[str],
    import_modules: Sequence[str],
    entry_point: str,
    **values: Any,
) -> Any:
    """Run MODULE (a file of this machine, an address, or the target of an input) as a job."""
    from bacalhau_jupyter.client.inputs.wasm_modules import wasm_engine
    from bacalhau_jupyter.client.jobs import build

    engine, inputs = wasm_engine(
        module, arguments, entry_point=entry_point, import_modules=listed(import_modules)
    )
    values["inputs"] = [*values["inputs"], *inputs]
    return submit(build.job_of(engine, job_options(values, client)), Waiting.of(values))


# A module has no working directory.
wasm_run.params = [param for param in wasm_run.params if param.name != "workdir"]
