"""``%bacalhau`` and ``%%bacalhau``."""

from __future__ import annotations

import functools
import keyword
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.client.inputs.modules import snapshot
from bacalhau_jupyter.client.jobs.titles import shown_title, with_title
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.wasm.building import TYPE as WASM
from bacalhau_jupyter.client.wasm.text import title_of_text
from bacalhau_jupyter.config.choice.children import Children
from bacalhau_jupyter.grammar import bacalhau, described, read_spec
from bacalhau_jupyter.grammar.flags.options import job_options, listed, templated
from bacalhau_jupyter.grammar.notebooks import say_what_stays
from bacalhau_jupyter.grammar.output import Details, Table, Text
from bacalhau_jupyter.grammar.session import Session
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.telemetry.base import spanning
from bacalhau_jupyter.lib.telemetry.start import link_of_process, telemetry_of_client
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.webassembly.module import ENTRY_POINT
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group
from bacalhau_jupyter.notebook.cells import job_of_cell
from bacalhau_jupyter.notebook.errors import CellInterrupted
from bacalhau_jupyter.notebook.filling import words_of
from bacalhau_jupyter.notebook.live.shown import hide_once, note_table_name
from bacalhau_jupyter.notebook.origin import notebook_folders
from bacalhau_jupyter.notebook.session import NotebookSession
from bacalhau_jupyter.notebook.sweeps import sweep as sweeping
from bacalhau_jupyter.notebook.sweeps.caching import CellCache
from bacalhau_jupyter.notebook.values.outs import values_of
from bacalhau_jupyter.notebook.values.sql import SQL, frame_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.notebook.live.card import Card

_OWN_PROCESS = ("serve", "demo")
"""Verbs that are separate processes: a node inside a kernel would die with it."""


class BacalhauMagics:
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell, children: Children | None = None) -> None:
        self._shell = shell
        self.session = NotebookSession(shell, children or Children())

    def run(self, line: str, cell: str | None = None, card: Card | None = None) -> Any:
        """Run a line's verb, or a cell's body as a job; ``card`` is the cell's, if it is on screen already."""
        self.session.early_card = card
        try:
            return self._run(line, cell)
        finally:
            self.session.early_card = None
            if card is not None and not card.is_finished and not card.status.job_id:
                card.finish("not submitted")

    def _run(self, line: str, cell: str | None) -> Any:
        # The first line of a cell is a line, too; its body is never filled in.
        words = words_of(line, self._shell.user_ns, _switches(bacalhau) | _switches(cell_group))
        name = "%bacalhau" if cell is None else "%%bacalhau"
        try:
            # All that the cell asks of the node, and the job with it, is one trace.
            with spanning(telemetry_of_client(), name, parent=link_of_process()):
                return self._line(words) if cell is None else self._cell(words, cell)
        except CellInterrupted:
            raise
        except KeyboardInterrupt:
            raise CellInterrupted("no job was changed; %bacalhau job list shows the jobs") from None

    def help(self, *, has_body: bool) -> str:
        """Return what ``%bacalhau?`` (with a body: ``%%bacalhau?``) shows."""
        command, name = (cell_group, "%%bacalhau") if has_body else (bacalhau, "%bacalhau")
        return command.get_help(click.Context(command, info_name=name))

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
        if isinstance(value, JobResult) and self.session.origin.is_whole_cell():
            from bacalhau_jupyter.notebook.reprs import as_value

            return as_value(value)
        return value

    def _cell(self, words: list[str], body: str) -> Any:
        values = invoke(cell_group, words, "%%bacalhau", self.session)
        if not isinstance(values, dict):
            return None
        outs = list(dict.fromkeys(values.get("outs", ())))
        if values["language"] != "python" and len(outs) > 1:
            raise BadRequest(
                f"--out takes one name in a {values['language']} cell: the first table the job wrote"
            )
        for name in outs:
            _check_identifier(name)
        if values.get("sweeps"):
            return self._swept(values, body, outs)
        is_watched = values["wait"] and not (values["detach"] or values["id_only"] or values["dry_run"])
        if not is_watched:
            return self._submitted(values, body, outs, None)
        with self.session.opened_card(values["context"], values["on_interrupt"], values["settings"]) as card:
            return self._submitted(values, body, outs, card)

    def _submitted(self, values: dict[str, Any], body: str, outs: list[str], card: Card | None) -> Any:
        """Submit a cell's body; with a card, follow the job in it."""
        language, context = values.pop("language"), values.pop("context")
        detach, on_interrupt = values.pop("detach"), values.pop("on_interrupt")
        client = self.session.client(context, values.pop("settings"))
        is_spec = language == "job"
        if is_spec:
            body = templated(body, values, "the job spec")
        model = read_spec(body, "the job spec") if is_spec else self._model(client, language, values, body)
        if values["dry_run"]:
            return described(model, exact=values["exact"])
        cache = CellCache(client, self.session.origin.repo, values.get("cache"))
        key = cache.key_of(client.sent(model)) if values.get("cache") is not None else ""
        hit = cache.find(key)
        if hit is not None:
            handle = hit.job
            cache.announce(hit, card, title=shown_title(model), id_only=values["id_only"])
        else:
            handle = self.session.submit(
                client, model, force=values.get("force", False), on_interrupt=on_interrupt, card=card
            )
            cache.note(key, handle, is_named=bool(model.name))
        if values["id_only"]:
            click.echo(handle.id)
            if values["wait"] and not detach:
                handle.until_settled(check=bool(values["check"]))
            return None
        if card is None:
            return handle
        check = True if values["check"] is None else values["check"]
        result = self.session.follow(handle, logs=True, check=check, on_interrupt=on_interrupt, card=card)
        value = self._bring_back(result, language, outs, values.get("out_as"))
        if value is not result or not self.session.origin.is_whole_cell():
            return value
        from bacalhau_jupyter.notebook.reprs import as_value

        if outs and language != "python":
            note_table_name(result, outs[0])
        return as_value(result)

    def _model(self, client: Client, language: str, values: dict[str, Any], body: str) -> JobModel:
        spec = Cell(
            language=language,
            body=body,
            image=values.get("image", ""),
            command=values.get("command", ()),
            entrypoint=list(values.get("entrypoint", ())),
            engine=values.get("engine") or "",
            variables={name: self._variable(name) for name in values["ins"]},
            output_names=list(dict.fromkeys(values["outs"])) if language == "python" else (),
            workdir=values.get("workdir", ""),
            first_line=self.session.origin.first_line(body),
            module=values.get("module", ""),
            entry_point=values.get("entry_point", ENTRY_POINT),
            import_modules=listed(values.get("import_modules", ())),
            options=job_options(values, lambda: client),
        )
        if spec.is_python and values.get("modules", True):
            spec = self._with_modules(spec, values.get("dry_run", False))
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
        return self.signed(model, title_of_text(body) if language == WASM else body)

    def signed(self, model: JobModel, body: str) -> JobModel:
        """Return a job with where it comes from, and its title."""
        return with_title(self.session.origin.on(model), self._shell, body)

    def model_of(self, words: Sequence[str], body: str) -> tuple[Client, JobModel]:
        """Build the job of a cell in a language, without submitting it."""
        values = invoke(cell_group, list(words), "%%bacalhau", self.session)
        client = self.session.client(values.pop("context"), values.pop("settings"))
        return client, self._model(client, values.pop("language"), values, body)

    def insert(self, text: str) -> None:
        """Put a text into a new cell, once the front end hears of it: with the answer to the next cell that runs."""
        self._shell.set_next_input(text)

    def _with_modules(self, cell: Cell, is_dry_run: bool) -> Cell:
        """Add the modules beside the notebook that the body imports."""
        taken = snapshot([cell.body], notebook_folders())
        say_what_stays(taken, in_full=is_dry_run)
        return replace(cell, modules=taken.files) if taken.files else cell

    def _variable(self, name: str) -> Any:
        space = self._shell.user_ns
        if name not in space:
            raise BadRequest(
                f"--in {name}: there is no variable of that name in the notebook",
                hint=_one_flag_each("--in", name),
            )
        return space[name]

    def _bring_back(self, result: JobResult, language: str, outs: list[str], tables_as: str | None) -> Any:
        if language == SQL and not outs:
            frame = frame_of(result, tables_as)
            return result if frame is None else frame
        try:
            self._shell.user_ns.update(values_of(result, language, outs, tables_as=tables_as))
        except KeyboardInterrupt:
            raise CellInterrupted(
                "the job is over, its results were not fetched; "
                f"%bacalhau attach {short_id(result.job.id)} returns them again"
            ) from None
        return result

    def _swept(self, values: dict[str, Any], body: str, outs: list[str]) -> Any:
        """Submit a job per combination of ``--sweep``; return their results, or the jobs where nobody waits."""
        chosen = sweeping.chosen(values, self._shell)
        labels = [each.label for each in chosen]
        is_shown = not (values["dry_run"] or values["id_only"])
        with self.session.opened_view(labels, sweeping.WHAT, is_shown=is_shown) as view:
            language = values["language"]
            client = self.session.client(values["context"], values["settings"])
            cache = CellCache(client, self.session.origin.repo, values["cache"])
            model = client.sent(self._model(client, language, values, body))
            sweep = sweeping.Sweep(client, model, chosen, cache, view)
            if values["dry_run"]:
                return described(sweep.members[0].model, exact=values["exact"])
            return self._run_sweep(sweep, values, outs)

    def _run_sweep(self, sweep: sweeping.Sweep, values: dict[str, Any], outs: list[str]) -> Any:
        language = values["language"]
        if not values["wait"] or values["detach"] or values["id_only"]:
            return sweep.submitted(id_only=values["id_only"])
        check = True if values["check"] is None else values["check"]
        sweep.follow(check=check, on_interrupt=values["on_interrupt"])
        self._shell.user_ns.update(
            sweep.values(outs, lambda result: values_of(result, language, outs, tables_as=values["out_as"]))
        )
        result = sweep.result(outs)
        if outs and self.session.origin.is_whole_cell():
            # What the person asked for is in the variables.
            hide_once(result)
        return result


def invoke(command: click.Command, words: list[str], name: str, session: Session) -> Any:
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
        raise BadRequest(f"--out {name!r} is not a variable name", hint=_one_flag_each("--out", name))


def _one_flag_each(flag: str, text: str) -> str:
    """Return how several names are written; empty where the text is not a list of names."""
    names = [part.strip() for part in text.split(",")]
    is_list = len(names) > 1 and all(name.isidentifier() for name in names)
    return (
        f"each name has a flag of its own: {' '.join(f'{flag} {name}' for name in names)}" if is_list else ""
    )


__all__ = ["BacalhauMagics", "invoke"]


@functools.cache
def _switches(command: click.Command) -> frozenset[str]:
    """Return the flags of a command, and of those below it, that take no value."""
    options = [option for option in command.params if isinstance(option, click.Option) and option.is_flag]
    own = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return frozenset(own).union(*map(_switches, below))
