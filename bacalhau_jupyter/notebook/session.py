"""The notebook's side of the grammar: clients for the kernel, and cells that show their jobs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.job import Job, JobResult
from bacalhau_jupyter.client.jobs.titles import TITLE, shown_title, titled
from bacalhau_jupyter.config.choice.children import Children
from bacalhau_jupyter.config.choice.choice import cluster_choice
from bacalhau_jupyter.grammar.session import without_directory
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.completion import variable_words
from bacalhau_jupyter.notebook.errors import CellInterrupted
from bacalhau_jupyter.notebook.live.card import Card, Status
from bacalhau_jupyter.notebook.live.endings import Ending
from bacalhau_jupyter.notebook.live.following import Follower
from bacalhau_jupyter.notebook.live.many_view import ManyView
from bacalhau_jupyter.notebook.live.pane import OutputPane, show_card
from bacalhau_jupyter.notebook.login.prompts import NotebookPrompter
from bacalhau_jupyter.notebook.origin import CellOrigin

if TYPE_CHECKING:
    from concurrent.futures import Future

    from IPython.core.interactiveshell import InteractiveShell

    from bacalhau_jupyter.client.jobs.standing import View
    from bacalhau_jupyter.models.jobs.job import Job as JobModel
    from bacalhau_jupyter.models.wire.api import PutJobResponse

_LATE_ANSWER_S = 5.0
"""Seconds an interrupted submission may take to say which job it made."""


class NotebookSession:
    """One per shell: its clients, and how it shows jobs."""

    quotes_words = True
    """Whether TAB quotes what it puts into the line."""
    usual_wait_s = 0
    """A cell is there to be looked at, and has a ■."""
    program = "%bacalhau"

    def __init__(self, shell: InteractiveShell, children: Children) -> None:
        self._shell = shell
        self._clients: dict[str | None, Client] = {}
        # The threads of forms want clients, too.
        self._making = threading.Lock()
        self._ending = Ending(shell)
        self.origin = CellOrigin(shell)
        self.early_card: Card | None = None
        """The card of the running cell, where it was shown before this session was made."""
        self.last_job: Job | None = None
        self.children = children

    def client(self, context: str | None = None, overrides: tuple[str, ...] = ()) -> Client:
        """Return the connected client, found (and its node started) on first use."""
        key = self._name(context, overrides)
        with self._making:
            if key not in self._clients:
                # Another cluster was chosen, perhaps: this kernel keeps no node alive for the one before.
                for other in self._clients.values():
                    other.rest()
                rest, directory = without_directory(overrides)
                self._clients[key] = Client(context=context, data_dir=directory, overrides=rest)
            return self._clients[key]

    def _name(self, context: str | None, overrides: tuple[str, ...]) -> str:
        """Name what a client was made of."""
        # A changed variable or profile takes effect with the next cell.
        return "\0".join((context or "\0".join(cluster_choice()), *overrides))

    @property
    def is_kernel(self) -> bool:
        """Whether outputs can be updated in place (a kernel's front end, not a terminal)."""
        return hasattr(self._shell, "kernel")

    def peek(self, context: str | None = None, overrides: tuple[str, ...] = ()) -> Client | None:
        """Return a client only where that takes no time: connected already, or to a cluster that is there."""
        client = self.client(context, overrides)
        try:
            client.api(start=False)
        except BacalhauError:
            return None
        return client

    def last_job_id(self, client: Client) -> str:
        """Return the last job of this kernel, else of this notebook by the record of submissions."""
        if self.last_job is not None and self.last_job.client.endpoint.url == client.endpoint.url:
            return self.last_job.id
        return self.origin.last_job_id(client.endpoint.url)

    def variables(self) -> dict[str, str]:
        """Return the notebook's variables that a cell can take, with words on what they are."""
        hidden = getattr(self._shell, "user_ns_hidden", {})
        return {
            name: variable_words(value)
            for name, value in list(self._shell.user_ns.items())
            if not name.startswith("_") and name not in hidden and not isinstance(value, ModuleType)
        }

    @contextlib.contextmanager
    def opened_card(
        self,
        context: str | None = None,
        on_interrupt: str | None = None,
        overrides: tuple[str, ...] = (),
    ) -> Iterator[Card]:
        """Show a card at once, before there is a job; what keeps it from becoming one is said in it, too."""
        card = self.early_card or Card(Status(), show_card, is_live=self.is_kernel)
        self.early_card = None
        card.open()
        try:
            known = self._clients.get(self._name(context, overrides))
            if not (known is not None and known.is_connected) and self.peek(context, overrides) is None:
                card.say("starting the node")
            yield card
        except CellInterrupted:
            self._give_up(card, "interrupted before it was submitted")
            raise
        except KeyboardInterrupt:
            job = self.last_job
            if job is None or job.id != card.status.job_id:
                self._give_up(card, "interrupted before it was submitted")
                raise
            # Between the answer of the cluster and the first look at the job.
            message = self._ending.of(job, on_interrupt, card.status)
            card.finish(message)
            raise CellInterrupted(message) from None
        except Exception:
            self._give_up(card, "not submitted")
            raise

    @contextlib.contextmanager
    def opened_view(self, labels: Sequence[str], what: str, *, is_shown: bool) -> Iterator[View | None]:
        """Show the card of many jobs at once, before there is one; None where a card can't be updated in place."""
        view = ManyView(self.origin) if is_shown and self.is_kernel else None
        if view is None:
            yield None
            return
        view.open(labels, what, "preparing the jobs")
        try:
            yield view
        except BaseException as error:
            view.give_up(
                "interrupted before a job was submitted" if _is_interrupt(error) else "not submitted"
            )
            raise

    def _give_up(self, card: Card, words: str) -> None:
        if self.is_kernel and not card.status.job_id:
            card.status.phase = words
            card.finish(words)

    def submit(
        self,
        client: Client,
        model: JobModel,
        *,
        force: bool,
        on_interrupt: str | None,
        hide_warnings: bool = False,
        card: Card | None = None,
    ) -> Job:
        """Submit a job; warnings of the cluster go to stderr.

        Raises
        ------
        CellInterrupted
            The person interrupted; a job that the node took all the same was stopped (or left running).
        """
        if card is not None:
            card.say("submitting")
        # What a cell runs has both already; here come the jobs of a line's verb.
        model = _sent(client, titled(model if model.name or TITLE in model.meta else self.origin.on(model)))
        future = client.begin_submit(model, force=force)
        try:
            answer = client.portal.wait(future)
        except KeyboardInterrupt:
            job = _late_job(client, future)
            if job is None:
                raise CellInterrupted(
                    "the node did not say whether it accepted the job; %bacalhau job list shows it"
                ) from None
            self._took(job, card, shown_title(model))
            message = self._ending.of(job, on_interrupt)
            if card is not None:
                card.finish(message)
            raise CellInterrupted(message) from None
        job = Job(client, answer.job_id)
        self._took(job, card, shown_title(model))
        for warning in (not hide_warnings and answer.warnings) or []:
            click.echo(f"Warning: {readable(warning, lines=True)}", err=True)
        return job

    def _took(self, job: Job, card: Card | None, title: str) -> None:
        """Note that there is a job: from here on an interrupt has something to stop."""
        self.last_job = job
        if card is not None:
            card.status.job_id, card.status.endpoint = job.id, job.client.endpoint.url
            card.status.title = title
        self.origin.note(job, title)

    def follow(
        self,
        job: Job,
        *,
        logs: bool,
        check: bool,
        on_interrupt: str | None = None,
        card: Card | None = None,
        pane: OutputPane | None = None,
    ) -> JobResult:
        """Show a job until it is over, in the running cell or where card and pane say; return its result.

        Raises
        ------
        CellFailed
            It did not end well.
        CellInterrupted
            The person interrupted; the job was stopped (or left running, as ``on_interrupt`` says).
        """
        self.last_job = job
        card = card or Card(Status(), show_card, is_live=self.is_kernel)
        card.status.job_id, card.status.endpoint = job.id, job.client.endpoint.url
        card.status.is_followed = logs
        card.say("reading what it printed" if card.status.cached else "submitted")
        follower = Follower(job, card, pane or OutputPane(), self._ending)
        result = follower.follow(logs=logs, check=check, on_interrupt=on_interrupt)
        if not logs:
            click.echo(where_output_is(result))
        return result

    def form(self, spec: str, context: str | None) -> Any:
        """Return a form that builds a job, filled with a job or a file."""
        from bacalhau_jupyter.notebook.form.form import JobForm

        return JobForm(spec or None, context=context)

    def prompter(self) -> NotebookPrompter:
        """Return how to talk with the person about a login."""
        return NotebookPrompter(self._shell)

    def password(self, prompt: str) -> str:
        """Return a password from the front end's field for passwords."""
        from bacalhau_jupyter.client.login.fields import Field

        return self.prompter().ask(Field(prompt.rstrip(": "), is_secret=True))

    def chosen(self) -> None:
        """Let programs that this kernel starts find the cluster, too."""
        self.children.look()

    def check_secret(self) -> None:
        """Refuse: a notebook keeps what its cells show."""
        raise BadRequest(
            "what is shown here is saved with the notebook, so a token is not",
            hint="-d shows what it says; bacalhau-jupyter auth sso token prints it in a terminal",
        )

    def print_log(self, job_id: str, chunks: Iterable[tuple[int, str]]) -> None:
        """Print a log, folded where it is long: a notebook keeps what its cells print."""
        pane = OutputPane(has_card=False)
        try:
            for stream, text in chunks:
                pane.write(stream, text)
        finally:
            pane.finish(job_id)

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def where_output_is(result: JobResult) -> str:
    """Say how to see what a job printed whose output was not shown: as the official client, a line only submits it."""
    outputs = [item.run_output for item in result.executions if item.run_output is not None]
    if outputs and not any(output.stdout or output.stderr for output in outputs):
        return "it printed nothing"
    name = short_id(result.job.id)
    return f"its output: %bacalhau job logs {name} (with -f a line shows it while the job runs)"


def _sent(client: Client, model: JobModel) -> JobModel:
    """Send what travels ahead of a job."""
    try:
        return client.sent(model)
    except KeyboardInterrupt:
        raise CellInterrupted("its inputs were being sent; no job was submitted") from None


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | CellInterrupted)


def _late_job(client: Client, future: Future[PutJobResponse]) -> Job | None:
    """Return the job of an interrupted submission, if the node answers soon."""
    try:
        return Job(client, future.result(timeout=_LATE_ANSWER_S).job_id)
    except (KeyboardInterrupt, Exception):
        future.cancel()
        return None
