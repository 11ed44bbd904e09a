"""A job that a form submitted: its card and output below the form, followed by a thread, so that the kernel is free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.notebook.form.fields import WRONG, load_widgets, plain_html
from bacalhau_jupyter.notebook.live.card import MIME, Card, Status
from bacalhau_jupyter.notebook.live.pane import STDERR, OutputPane
from bacalhau_jupyter.notebook.reprs import result_bundle

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.notebook.session import NotebookSession

_PUSH_S = 0.3
_BYTES_PER_S = 400_000
"""All of the output is sent at each push: the more there is, the rarer."""

Built = Callable[[], "tuple[Client, JobModel]"]


class WidgetOutput:
    """Writes to an Output widget, for a thread has no cell (a `live.pane.CellOutput`).

    Parameters
    ----------
    widget
        The Output widget.
    clock
        Returns seconds.
    """

    def __init__(self, widget: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._widget = widget
        self._clock = clock
        self._outputs: list[dict[str, Any]] = []
        self._places: dict[str, int] = {}
        self._size = 0
        self._pushed = float("-inf")

    def write(self, stream: int, text: str) -> None:
        """Append text."""
        name = "stderr" if stream == STDERR else "stdout"
        self._size += len(text)
        if self._outputs and self._outputs[-1].get("name") == name:
            text = self._outputs[-1]["text"] + text
            self._outputs.pop()
        self._outputs.append({"output_type": "stream", "name": name, "text": text})
        if self._clock() - self._pushed >= max(_PUSH_S, self._size / _BYTES_PER_S):
            self.push()

    def display(self, data: dict[str, Any], metadata: dict[str, Any], display_id: str, update: bool) -> None:
        """Append an output, or replace one."""
        output = {"output_type": "display_data", "data": data, "metadata": metadata}
        if update and display_id in self._places:
            self._outputs[self._places[display_id]] = output
        else:
            self._places[display_id] = len(self._outputs)
            self._outputs.append(output)
        self.push()

    def push(self) -> None:
        """Show what was held back."""
        self._pushed = self._clock()
        self._widget.outputs = tuple(self._outputs)


class Run:
    """One submission of a form.

    Parameters
    ----------
    session
        Submits and follows jobs.
    built
        Makes the job; it may read files and ask the node.

    Attributes
    ----------
    widget
        What stands below the form.
    job
        The job; None until the cluster has taken it.
    """

    def __init__(self, session: NotebookSession, built: Built) -> None:
        widgets = load_widgets()
        self._session, self._built = session, built
        self._card, self._log = widgets.Output(), widgets.Output()
        self._error = widgets.HTML()
        self._stop = widgets.Button(description="Stop", icon="stop", disabled=True)
        self._stop.on_click(lambda _: threading.Thread(target=self.stop, daemon=True).start())
        self.widget = widgets.VBox([widgets.HBox([self._card, self._stop]), self._error, self._log])
        self.job: Job | None = None
        self._result: JobResult | None = None
        self._failure: Exception | None = None
        self._is_taken, self._is_over = threading.Event(), threading.Event()
        self._shown = ""

    def start(self, taken: Callable[[], None]) -> None:
        """Begin; ``taken`` is called once the cluster took the job, or did not, and again when the job is over."""
        card = Card(Status(), self._show, is_live=True)
        card.open()
        threading.Thread(target=self._run, args=(card, taken), name="bacalhau-form", daemon=True).start()

    def result(self, timeout_s: float | None = None) -> JobResult:
        """Wait for the end of the job and return its result, whatever its exit code.

        Raises
        ------
        BacalhauError
            The job was refused, or could not be followed.
        TimeoutError
            It is not over yet.
        """
        if not self._is_over.wait(timeout_s):
            raise TimeoutError("the job is not over yet")
        if self._failure is not None:
            raise self._failure
        assert self._result is not None
        return self._result

    def stop(self) -> None:
        """Stop the job."""
        if self.job is None:
            return
        try:
            self.job.stop()
        except BacalhauError as error:
            self._error.value = plain_html(error.message, WRONG)

    def _run(self, card: Card, taken: Callable[[], None]) -> None:
        output = WidgetOutput(self._log)
        try:
            client, model = self._built()
            self.job = self._session.submit(client, model, force=False, on_interrupt="detach", card=card)
            self._stop.disabled = False
            taken()
            self._result = self._session.follow(
                self.job, logs=True, check=False, on_interrupt="detach", card=card, pane=OutputPane(output)
            )
            output.display(result_bundle(self._result), {}, "result", False)
        except BacalhauError as error:
            self._fail(card, error, f"{error.message}\n{error.hint}".strip())
        except Exception as error:
            # The thread has nobody else to tell.
            self._fail(card, error, f"{type(error).__name__}: {error}")
        finally:
            output.push()
            self._stop.disabled = True
            taken()
            self._is_over.set()

    def _fail(self, card: Card, error: Exception, sentence: str) -> None:
        self._failure = error
        if not card.status.job_id:
            card.status.error = sentence
            card.finish("not submitted")
        self._error.value = plain_html(sentence, WRONG)

    def _show(self, bundle: dict[str, Any], display_id: str, update: bool) -> None:
        """Show the card; a running time alone is no news, for each picture of it is drawn anew."""
        del display_id, update
        record = bundle[MIME]
        # A page follows what its cells print, not what stands below a form: the card would show the log once more.
        record["followed"] = False
        news = repr([record[name] for name in ("job_id", "state", "node", "exit_code", "error")])
        news += str(record["phase"]).partition(" ")[0]
        if news != self._shown:
            self._shown = news
            self._card.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)
