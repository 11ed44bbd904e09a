"""``%bacalhau form`` and `JobForm`: a job spec as a form, checked as one types, with the equal cell beside it."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bacalhau_jupyter.client.inputs.uri import parse_input
from bacalhau_jupyter.client.jobs.job_inputs import resolve_input
from bacalhau_jupyter.grammar.shown import code_of
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import InputSource, replace
from bacalhau_jupyter.models.wire.api import ListDataResponse
from bacalhau_jupyter.notebook.form.asking import Word, ask
from bacalhau_jupyter.notebook.form.cell_text import CellText, cell_text, code_words, yaml_text
from bacalhau_jupyter.notebook.form.checking import check, worth_showing
from bacalhau_jupyter.notebook.form.fields import load_widgets
from bacalhau_jupyter.notebook.form.nodes import Offers, offers_of
from bacalhau_jupyter.notebook.form.opening import Spec, opened
from bacalhau_jupyter.notebook.form.reading import read
from bacalhau_jupyter.notebook.form.running import Run
from bacalhau_jupyter.notebook.form.showing import empty_form, kept, shown
from bacalhau_jupyter.notebook.form.state import TEXT_FIELDS, FormState, InputRow, Problem, as_text
from bacalhau_jupyter.notebook.form.view import FormView

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.notebook.session import NotebookSession

_DEBOUNCE_S = 0.4
"""Seconds without a change after which the node is asked."""
_DOUBLE_CLICK_S = 1.0
"""Seconds in which a second click on Submit is the same one: the job may have been taken between the two."""
_INSERT_LIMIT = 100_000
"""Characters of a cell that may be inserted."""
_OFFLINE = "no node runs yet: Submit starts it"


class Notebook(Protocol):
    """What a form needs of the notebook it stands in; `BacalhauMagics` has it."""

    session: NotebookSession

    def model_of(self, words: Sequence[str], body: str) -> tuple[Client, JobModel]:
        """Build the job of a cell."""
        ...

    def signed(self, model: JobModel, body: str) -> JobModel:
        """Return a job with where it comes from."""
        ...

    def insert(self, text: str) -> None:
        """Put a text into a new cell."""
        ...


class JobForm:
    """A form that builds a job.

    Parameters
    ----------
    spec
        What to fill it with: a job's ID, the path of a YAML or JSON file, a dict, a job, its handle or its result.
    context
        Name of a saved connection (profile).
    notebook
        The notebook; by default that of the running kernel.

    Raises
    ------
    BacalhauError
        ipywidgets are missing, or the spec can't be read.
    """

    def __init__(
        self, spec: Spec = None, *, context: str | None = None, notebook: Notebook | None = None
    ) -> None:
        load_widgets()
        if notebook is None:
            from bacalhau_jupyter.notebook.extension import running_magics

            notebook = running_magics()
        self._notebook, self._context = notebook, context
        self._lock = threading.RLock()
        self._offers = Offers(problem="asking the nodes …")
        self._timer: threading.Timer | None = None
        self._number = 0
        self._word = Word()
        self._is_closed = self._is_submitting = False
        self._submitted_state: FormState | None = None
        self._submitted_at = 0.0
        self._touched: set[str] = set()
        """Names of the fields that somebody was at."""
        self.runs: list[Run] = []
        """The submissions of this form, the oldest first."""
        self._view = FormView(self._changed, self._look, self)
        self._is_empty = spec is None
        job = opened(spec, lambda: notebook.session.client(context))
        self._fill(empty_form() if self._is_empty else shown(job))
        self._in_background(self._ask_nodes)

    # ---- what the form means

    @property
    def state(self) -> FormState:
        """The texts that stand in the fields."""
        return self._state

    @property
    def job(self) -> JobModel:
        """The job that the form means; files of this machine are not in it yet, nor what runs a cell's code."""
        return self._job

    @property
    def problems(self) -> list[Problem]:
        """Why the form can't be submitted."""
        return [*self._problems, *self._word.problems]

    @property
    def kept(self) -> list[str]:
        """Names of what the form can't show, and keeps."""
        return kept(self._state.base)

    @property
    def cell(self) -> CellText:
        """The equal cell."""
        return cell_text(self._state, self._job, is_valid=not self._problems)

    @property
    def yaml(self) -> str:
        """The spec as YAML, exactly, as ``job run`` takes it; with code, the node is asked what runs it."""
        job = self._built(self._state)[1] if self._state.is_code else self._job
        return yaml_text(job, exact=True).text

    @property
    def widget(self) -> Any:
        """The widget that is shown."""
        return self._view.widget

    def fill(self, *, inputs: Sequence[str] | None = None, **texts: object) -> JobForm:
        """Write texts into fields, as a person would.

        Parameters
        ----------
        inputs
            Short forms of ``-i``; in place of those that are there.
        **texts
            The fields of `FormState`.

        Raises
        ------
        BadRequest
            There is no such field.
        """
        for name in texts:
            if name not in TEXT_FIELDS:
                near = difflib.get_close_matches(name, TEXT_FIELDS, 1)
                meant = f"did you mean {near[0]}? " if near else ""
                raise BadRequest(
                    f"the form has no field {name!r}", hint=f"{meant}fields: {', '.join(TEXT_FIELDS)}"
                )
        written = {name: as_text(value) for name, value in texts.items()}
        rows = {} if inputs is None else {"inputs": tuple(InputRow(as_text(text)) for text in inputs)}
        self._touched |= {*written, *rows}
        self._fill(self._state.changed(**written, **rows))
        return self

    # ---- what a person can do

    def press_submit(self) -> None:
        """Submit, or show beside each field why not: what was only missing is wrong from now on."""
        if self._state is self._submitted_state and time.monotonic() - self._submitted_at < _DOUBLE_CLICK_S:
            return
        if not self.problems:
            self.submit()
            return
        with self._lock:
            self._touched |= {problem.field for problem in self.problems}
            self._say()

    def submit(self) -> Run:
        """Submit the job and follow it below the form; the kernel does not wait.

        Raises
        ------
        BadRequest
            The form has problems.
        """
        if self._is_closed:
            raise BadRequest("this form is closed", hint="%bacalhau form opens another")
        if self._is_submitting:
            raise BadRequest("the job is being submitted", hint="wait until it has an ID")
        problems = self.problems
        if problems:
            raise BadRequest(problems[0].sentence, hint=problems[0].hint)
        self._is_submitting = True
        state = self._submitted_state = self._state
        self._submitted_at = time.monotonic()
        run = Run(self._notebook.session, lambda: self._built(state))
        self.runs.append(run)
        self._view.submitting(run.widget)
        run.start(lambda: self._submitted(run))
        return run

    def _submitted(self, run: Run) -> None:
        """Let the next submission begin."""
        with self._lock:
            # A job that ends now was submitted long ago: another one may be on its way.
            if run is self.runs[-1]:
                self._is_submitting = False
            if not self._is_closed:
                self._say()
        # The job may have started the node, and it takes some of what was free.
        self._in_background(self._ask_nodes)

    def insert(self) -> None:
        """Put the equal cell below."""
        self._insert(str(self.cell))

    def insert_yaml(self) -> None:
        """Put a ``%%bacalhau job`` cell with the spec below; secrets and long data as they are shown."""
        if self._state.is_code:
            raise BadRequest(
                "YAML would hold the code in base64", hint="insert the cell: its flags say the same"
            )
        self._insert(f"%%bacalhau job\n{yaml_text(self._job).text}")

    def close(self) -> None:
        """Close the form; its jobs go on."""
        with self._lock:
            self._is_closed = True
            self._number += 1
            if self._timer is not None:
                self._timer.cancel()
        self._view.close()

    def _insert(self, text: str) -> None:
        if len(text) > _INSERT_LIMIT:
            raise BadRequest("the cell would be too long", hint="write form.yaml to a file and run that")
        self._notebook.insert(text)

    # ---- from widgets to state

    def _fill(self, state: FormState) -> None:
        with self._lock:
            self._view.fill(state, self._offers, code_of(to_plain(state.base)))
            self._take(state)

    def _changed(self) -> None:
        with self._lock:
            if not self._is_closed:
                texts = self._view.texts
                self._touched |= {name for name, text in texts.items() if text != getattr(self._state, name)}
                self._take(self._state.changed(inputs=self._view.rows, **texts))

    def _take(self, state: FormState) -> None:
        self._state = state
        self._job, self._problems = check(state)
        self._number += 1
        self._word = Word()
        self._view.show(state, self.kept, self.cell, yaml_text(self._job, is_code=state.is_code))
        self._say()
        if self._timer is not None:
            self._timer.cancel()
        if not self._problems:
            self._timer = threading.Timer(
                _DEBOUNCE_S, self._ask_server, [self._number, self._job, state.is_code]
            )
            self._timer.daemon = True
            self._timer.start()

    def _say(self) -> None:
        # What is not known is said once.
        names = ("cpu",) if self._offers.problem else ("cpu", "memory", "disk", "gpu")
        free = {name: self._offers.free(name) for name in names}
        problems = worth_showing(self.problems, self._touched)
        self._view.say(problems, free, self._word.note, is_submitting=self._is_submitting)

    # ---- what the cluster says

    def _ask_server(self, number: int, job: JobModel, is_code: bool) -> None:
        if number != self._number:
            return
        client = self._notebook.session.peek(self._context)
        word = ask(client, job, is_code=is_code) if client is not None else Word(note=_OFFLINE)
        with self._lock:
            if number == self._number and not self._is_closed:
                self._word = word
                self._say()

    def _ask_nodes(self) -> None:
        client = self._notebook.session.peek(self._context)
        try:
            offers = offers_of(client.nodes()) if client is not None else Offers(problem=_OFFLINE)
        except BacalhauError as error:
            offers = Offers(problem=error.message)
        with self._lock:
            if not self._is_closed:
                self._offers = offers
                self._view.offer(offers)
                runs = offers.opens_with()
                # Only this field is written: somebody may be typing into the others.
                if (
                    self._is_empty
                    and not self._touched
                    and self._view.texts["runs"] == self._state.runs != runs
                ):
                    self._view.offer(offers, runs)
                    self._take(self._state.changed(runs=runs))
                self._say()

    def _look(self, uri: str, token: str, then: Callable[[ListDataResponse | None, str], None]) -> None:
        def work() -> None:
            listing, problem = None, ""
            try:
                client = self._notebook.session.client(self._context)
                listing = client.call(lambda api: api.data(uri, next_token=token))
            except NotFound as error:
                problem = (
                    error.message if uri else "this cluster can't be browsed: type the address of the input"
                )
            except BacalhauError as error:
                problem = f"{error.message}\n{error.hint}".strip()
            with self._lock:
                if not self._is_closed:
                    then(listing, problem)

        self._in_background(work)

    @staticmethod
    def _in_background(work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="bacalhau-form", daemon=True).start()

    # ---- from state to a job that can be sent

    def _built(self, state: FormState) -> tuple[Client, JobModel]:
        """Return the client and the job, with files of this machine and, for a language, what runs the code."""
        session = self._notebook.session
        client = session.client(self._context)

        def read_input(text: str) -> list[InputSource]:
            items = resolve_input(text, lambda: client)
            return [parse_input(item) if isinstance(item, str) else item for item in items]

        job, problems = read(state, read_input)
        if problems:
            raise BadRequest(problems[0].sentence, hint=problems[0].hint)
        if not state.is_code:
            return client, self._notebook.signed(job, state.command or state.image)
        context = ["--context", self._context] if self._context else []
        client, made = self._notebook.model_of([*code_words(state), *context], state.code)
        sources = [*job.task.input_sources, *made.task.input_sources]
        task = replace(job.task, engine=made.task.engine, input_sources=sources)
        return client, replace(job, tasks=[task, *job.tasks[1:]], meta={**job.meta, **made.meta})

    # ---- how it is shown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        del include, exclude
        # What a page without widgets shows, and a notebook keeps.
        return {**self.widget._repr_mimebundle_(), "text/plain": f"a form of this job:\n{self.cell}"}

    def __repr__(self) -> str:
        return f"<JobForm: {self.cell.line}>"
