"""``%bacalhau`` and ``%%bacalhau``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.cli.grammar import bacalhau, read_spec, spec_of
from bacalhau_jupyter.cli.grammar.options import job_options, without_dashes
from bacalhau_jupyter.cli.grammar.output import Record, Result, Table, Text, output_form
from bacalhau_jupyter.client.job import JobResult
from bacalhau_jupyter.client.results import HIDDEN
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.job import Job as JobModel
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group
from bacalhau_jupyter.notebook.cells import Cell, job_of_cell
from bacalhau_jupyter.notebook.session import NotebookSession
from bacalhau_jupyter.notebook.values import unpack_values

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class BacalhauMagics:
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.session = NotebookSession(shell)

    def run(self, line: str, cell: str | None = None) -> Any:
        """Run a line's verb, or a cell's body as a job."""
        words = split(line)
        if cell is None:
            return self._line(words)
        return self._cell(words, cell)

    def _line(self, words: list[str]) -> Any:
        form = _form(words)
        value = invoke(bacalhau, words or ["--help"], "%bacalhau", self.session)
        if isinstance(value, (Table, Record, Text)):
            return _shown(value, form, words)
        return value

    def _cell(self, words: list[str], body: str) -> Any:
        values = invoke(cell_group, words, "%%bacalhau", self.session)
        if not isinstance(values, dict):
            return None
        language = values.pop("language")
        client = self.session.client(values.pop("context"))
        detach, on_interrupt = values.pop("detach"), values.pop("on_interrupt")
        outs = list(values.get("outs", ()))
        model = read_spec(body, "the job spec") if language == "job" else self._model(language, values, body)
        if values["dry_run"]:
            return Record(_dry(model))
        handle, warnings = client.submit_with_warnings(model, force=values.get("force", False))
        for warning in warnings:
            click.echo(f"Warning: {warning}", err=True)
        if values["id_only"]:
            print(handle.id)  # noqa: T201 - the cell's output is what was asked for
            return None
        if detach or not values["wait"]:
            return handle
        check = True if values["check"] is None else values["check"]
        result = self.session.follow(handle, logs=True, check=check, on_interrupt=on_interrupt)
        return self._bring_back(result, language, outs)

    def _model(self, language: str, values: dict[str, Any], body: str) -> JobModel:
        client = self.session.client()
        spec = Cell(
            language=language,
            body=body,
            image=values["image"],
            command=without_dashes(values.get("command", ())),
            entrypoint=list(values.get("entrypoint", ())),
            engine=values["engine"] or "",
            variables={name: self._variable(name) for name in values["ins"]},
            wanted=[name for name in values["outs"] if _identifier(name)] if language == "python" else (),
            workdir=values["workdir"],
            options={**job_options(values), "task_name": values["task_name"]},
        )
        model = job_of_cell(spec, client.info, shares_machine=client.endpoint.embedded)
        return _with_origin(model)

    def _variable(self, name: str) -> Any:
        space = self._shell.user_ns
        if name not in space:
            raise BadRequest(f"--in {name}: there is no variable of that name in the notebook")
        return space[name]

    def _bring_back(self, result: JobResult, language: str, outs: list[str]) -> JobResult:
        if not outs:
            return result
        if language == "python":
            found = dict(unpack_values(result.path / "outputs" / HIDDEN, outs))
        elif len(outs) > 1:
            raise BadRequest(f"--out takes one name in a {language} cell: the first table the job wrote")
        else:
            found = {outs[0]: result.df()}
        self._shell.user_ns.update(found)
        return result


def split(line: str) -> list[str]:
    """Split a magic's line as a shell would; nothing in it is interpolated."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadRequest(f"the line can't be read: {error}") from None


def invoke(command: click.Command, words: list[str], name: str, session: NotebookSession) -> Any:
    """Run a click command in the notebook; its usage errors become real exceptions."""
    try:
        return command.main(list(words), prog_name=name, standalone_mode=False, obj=session)
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else name
        raise BadRequest(error.format_message(), hint=f"{path} --help lists what it takes") from None
    except click.ClickException as error:
        raise BadRequest(error.format_message()) from None
    except click.Abort:
        raise KeyboardInterrupt from None


def _form(words: list[str]) -> str:
    return output_form(words)[0]


def _shown(value: Result, form: str, words: list[str]) -> Result | None:
    """Print JSON, YAML and CSV as text; anything else is the cell's (rich) value."""
    if form == "table":
        return value
    print(value.render(form, hide_header="--hide-header" in words))  # noqa: T201 - the verb's own output
    return None


def _identifier(name: str) -> bool:
    if not name.isidentifier():
        raise BadRequest(f"--out {name!r} is not a variable name")
    return True


def _dry(model: JobModel) -> dict[str, Any]:
    return spec_of(model)


def _with_origin(model: JobModel) -> JobModel:
    """Note which notebook submitted the job, where Jupyter tells."""
    from bacalhau_jupyter.models.spec import replace

    session = os.environ.get("JPY_SESSION_NAME")
    return replace(model, meta={**model.meta, "jupyter.org/session": session}) if session else model


__all__ = ["BacalhauMagics", "invoke", "split"]
