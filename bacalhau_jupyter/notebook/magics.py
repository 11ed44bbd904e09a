"""``%bacalhau`` and ``%%bacalhau``."""

from __future__ import annotations

import keyword
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.tree import HIDDEN
from bacalhau_jupyter.grammar import bacalhau, read_spec, spec_of
from bacalhau_jupyter.grammar.options import job_options
from bacalhau_jupyter.grammar.output import Details, Table, Text
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.job import Job as JobModel
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group
from bacalhau_jupyter.notebook.cells import Cell, job_of_cell
from bacalhau_jupyter.notebook.errors import CellInterrupted
from bacalhau_jupyter.notebook.origin import with_origin
from bacalhau_jupyter.notebook.session import NotebookSession
from bacalhau_jupyter.notebook.values import unpack_values
from bacalhau_jupyter.transfer.core.scratch import scratch_directory

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.tables import Backend

_OWN_PROCESS = ("serve", "demo")
"""Verbs that are separate processes: a node inside a kernel would die with it."""


class BacalhauMagics:
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.session = NotebookSession(shell)

    def run(self, line: str, cell: str | None = None) -> Any:
        """Run a line's verb, or a cell's body as a job."""
        words = split(line)
        try:
            return self._line(words) if cell is None else self._cell(words, cell)
        except CellInterrupted:
            raise
        except KeyboardInterrupt:
            raise CellInterrupted("no job was changed by it; %bacalhau job list shows what runs") from None

    def _line(self, words: list[str]) -> Any:
        if words[:1] and words[0] in _OWN_PROCESS:
            raise BadRequest(
                f"%bacalhau {words[0]} does not run inside a kernel",
                hint=f"in a shell: bacalhau-jupyter {words[0]}",
            )
        value = invoke(bacalhau, words or ["--help"], "%bacalhau", self.session)
        if isinstance(value, (Table, Details, Text)) and value.show.form != "table":
            click.echo(value.render(value.show))
            return None
        return value

    def _cell(self, words: list[str], body: str) -> Any:
        values = invoke(cell_group, words, "%%bacalhau", self.session)
        if not isinstance(values, dict):
            return None
        language = values.pop("language")
        client = self.session.client(values.pop("context"))
        detach, on_interrupt = values.pop("detach"), values.pop("on_interrupt")
        outs = list(dict.fromkeys(values.get("outs", ())))
        if language != "python" and len(outs) > 1:
            raise BadRequest(f"--out takes one name in a {language} cell: the first table the job wrote")
        for name in outs:
            _check_identifier(name)
        is_spec = language == "job"
        model = read_spec(body, "the job spec") if is_spec else self._model(client, language, values, body)
        if values["dry_run"]:
            return Details(spec_of(model))
        force = values.get("force", False)
        handle = self.session.submit(client, model, force=force, on_interrupt=on_interrupt)
        if values["id_only"]:
            click.echo(handle.id)
            if values["wait"] and not detach:
                handle.until_settled(check=bool(values["check"]))
            return None
        if detach or not values["wait"]:
            return handle
        check = True if values["check"] is None else values["check"]
        result = self.session.follow(handle, logs=True, check=check, on_interrupt=on_interrupt)
        return self._bring_back(result, language, outs, values.get("out_as"))

    def _model(self, client: Client, language: str, values: dict[str, Any], body: str) -> JobModel:
        spec = Cell(
            language=language,
            body=body,
            image=values["image"],
            command=values.get("command", ()),
            entrypoint=list(values.get("entrypoint", ())),
            engine=values["engine"] or "",
            variables={name: self._variable(name) for name in values["ins"]},
            wanted=list(dict.fromkeys(values["outs"])) if language == "python" else (),
            workdir=values["workdir"],
            options=job_options(values, lambda: client),
        )
        model = job_of_cell(
            spec,
            client.info,
            shares_machine=client.endpoint.embedded,
            environment=client.environment,
        )
        problem = client.info.compute_node_info.engine_problems.get("process", "")
        fell_back = not (spec.engine or spec.image) and model.task.engine.type == "docker"
        if fell_back and client.endpoint.embedded and problem:
            image = model.task.engine.params.get("Image")
            click.echo(f"Note: runs in {image}, because the process engine is off: {problem}", err=True)
        return with_origin(model, self._shell)

    def _variable(self, name: str) -> Any:
        space = self._shell.user_ns
        if name not in space:
            raise BadRequest(f"--in {name}: there is no variable of that name in the notebook")
        return space[name]

    def _bring_back(
        self, result: JobResult, language: str, outs: list[str], tables_as: str | None
    ) -> JobResult:
        if not outs:
            return result
        try:
            self._shell.user_ns.update(self._values(result, language, outs, tables_as))
        except KeyboardInterrupt:
            raise CellInterrupted(
                "the job is over, its results were not fetched; "
                f"%bacalhau attach {short_id(result.job.id)} returns them again"
            ) from None
        return result

    @staticmethod
    def _values(result: JobResult, language: str, outs: list[str], tables_as: str | None) -> dict[str, Any]:
        if language == "python":
            return dict(unpack_values(_brought(result), outs, tables_as=tables_as))
        return {outs[0]: result.df(backend=cast("Backend", tables_as or "pandas"))}


def _brought(result: JobResult) -> Path:
    """Return where the variables lie that a Python body wrote; only they are fetched."""
    try:
        return result.subtree(f"outputs/{HIDDEN}")
    except NotFound:
        # A placeholder: each missing variable is reported by name.
        return scratch_directory(result)


def split(line: str) -> list[str]:
    """Split a magic's line as a shell would; nothing in it is interpolated."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadRequest(f"the line can't be read: {error}") from None


def invoke(command: click.Command, words: list[str], name: str, session: NotebookSession) -> Any:
    """Run a click command in the notebook; its usage errors become real exceptions."""
    try:
        # Not main(): that would turn an interrupt, and what it says of the job, into an empty Abort.
        with command.make_context(name, list(words), obj=session) as context:
            return command.invoke(context)
    except click.exceptions.Exit:
        return None
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return None
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else name
        raise BadRequest(error.format_message(), hint=f"{path} --help lists what it takes") from None
    except click.ClickException as error:
        raise BadRequest(error.format_message()) from None


def _check_identifier(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise BadRequest(f"--out {name!r} is not a variable name")


__all__ = ["BacalhauMagics", "invoke", "split"]
