"""The line with the Stop button that stands in for the state line while a cell blocks the kernel.

The kernel's main thread waits in the cell, so a click arrives only where the front end sends comm messages to a
subshell, a separate thread (JupyterLab 4.4 and ipykernel 7, or newer). Such a front end opens the subshell as
soon as it hears of our widget; until that is seen nothing is shown, and elsewhere nothing ever: a dead button is
worse than none. The widget borrows the display of the state line and gives it back: it leaves no output behind.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.lib.ids import short_id

if TYPE_CHECKING:
    from bacalhau_jupyter.models.history import StreamEvent

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
DELAY_S = 1.0
"""Seconds before a control is made: a quick job pays for none."""
PATIENCE_S = 10.0
"""Seconds the front end may take to open its subshell; after that it is taken for one without."""

Show = Callable[[dict[str, Any], str, bool], None]


class StopControl:
    """Shows one job's state with a Stop button, where a click can arrive.

    Parameters
    ----------
    job_id
        The job.
    kernel
        The kernel that runs the cell; None outside of one.
    show
        Publishes a bundle: ``show(bundle, display_id, update)``.
    """

    def __init__(self, job_id: str, kernel: Any, show: Show) -> None:
        self._job = job_id
        self._show = show
        self._subshells = _Subshells(kernel)
        self._born = time.monotonic()
        self._library = _Library()
        self._widget: _Widget | None = None
        self._shown = False
        self._line: tuple[dict[str, Any], str] | None = None
        self._given_up = not self._subshells.possible
        self._pressed = threading.Event()

    @property
    def is_pressed(self) -> bool:
        """Whether the user has pressed Stop."""
        return self._pressed.is_set()

    def tick(self) -> None:
        """Make the widget when it is time to; costs nothing where it can't work."""
        age = time.monotonic() - self._born
        if self._given_up or self._shown or age < DELAY_S:
            return
        if self._widget is None:
            if self._library.ready():
                self._make()
        elif self._line is not None and self._answers(self._widget):
            bundle, display_id = self._line
            self._widget.say(bundle["text/html"])
            # Published once: showing it anew at every tick would take the button away under the pointer.
            self._show({**bundle, WIDGET_VIEW: self._widget.view}, display_id, True)
            self._shown = True
        elif age > PATIENCE_S + DELAY_S:
            self._drop()

    def put(self, bundle: dict[str, Any], display_id: str, update: bool) -> None:
        """Publish the state line, or show it in the widget that has taken its place."""
        self._line = bundle, display_id
        if self._shown and self._widget is not None:
            self._widget.say(bundle["text/html"])
        else:
            self._show(bundle, display_id, update)

    def saw(self, event: StreamEvent) -> None:
        """Move the bar if an event reports progress."""
        if self._widget is not None:
            self._widget.progress(event.details.get("Done", ""), event.details.get("Total", ""))

    def stopping(self, problem: str = "") -> None:
        """Say that the job is being stopped, or why it could not be (then the button works again)."""
        if problem:
            self._pressed.clear()
        if self._widget is not None:
            self._widget.stopping(problem)

    def close(self) -> None:
        """Take the widget away; what is published afterwards is the state line again."""
        self._drop()

    def _answers(self, widget: _Widget) -> bool:
        # A front end without a widget manager closes the comm at once.
        return self._subshells.opened() and widget.is_open

    def _make(self) -> None:
        self._subshells.note()
        try:
            self._widget = _Widget(self._job, self._pressed.set)
        except Exception:
            # Not installed, broken, or of another generation: the state line alone does as well.
            self._given_up = True

    def _drop(self) -> None:
        self._given_up = True
        self._shown = False
        widget, self._widget = self._widget, None
        if widget is not None:
            with contextlib.suppress(Exception):
                widget.close()


class _Library:
    """Imports ipywidgets beside the cell, whose output must not wait for it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def ready(self) -> bool:
        if "ipywidgets" in sys.modules and self._thread is None:
            return True
        if self._thread is None:
            self._thread = threading.Thread(target=self._load, name="bacalhau-widgets", daemon=True)
            self._thread.start()
        return not self._thread.is_alive()

    @staticmethod
    def _load() -> None:
        with contextlib.suppress(Exception):
            importlib.import_module("ipywidgets")


class _Subshells:
    """Whether the front end sends comm messages to subshells."""

    def __init__(self, kernel: Any) -> None:
        thread = getattr(kernel, "shell_channel_thread", None)
        supported = thread is not None and getattr(kernel, "_supports_kernel_subshells", False)
        self._thread = thread if supported else None
        self._before: frozenset[str] = frozenset()

    @property
    def possible(self) -> bool:
        return self._thread is not None

    def note(self) -> None:
        """Remember which subshells are there before our comm is."""
        present = self._present()
        # One subshell serves all widgets: theirs serves ours. Without other widgets it is somebody's own.
        self._before = frozenset() if _other_widgets() else present

    def opened(self) -> bool:
        return bool(self._present() - self._before)

    def _present(self) -> frozenset[str]:
        try:
            return (
                frozenset(self._thread.manager.list_subshell()) if self._thread is not None else frozenset()
            )
        except Exception:
            # The manager is not public API; a kernel that changed it has no button.
            return frozenset()


def _other_widgets() -> bool:
    module = sys.modules.get("ipywidgets.widgets.widget")
    return bool(getattr(module, "_instances", None))


def _take_clicks_where_they_come(comm: Any) -> None:
    """Let a click run on the subshell it was sent to.

    Since 7.4 ipykernel hands it to the shell that last wrote to the widget: ours, which waits in the cell.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, sent_to: sent_to


class _Widget:
    """Button, bar and text in one row."""

    def __init__(self, job_id: str, pressed: Callable[[], None]) -> None:
        import ipywidgets

        self._job = short_id(job_id)
        self._button = ipywidgets.Button(
            description="Stop",
            icon="stop",
            tooltip=f"Stop job {self._job}",
            layout=ipywidgets.Layout(width="auto", flex="0 0 auto"),
        )
        self._button.on_click(lambda _: pressed())
        _take_clicks_where_they_come(self._button.comm)
        self._bar = ipywidgets.FloatProgress(
            max=1.0, layout=ipywidgets.Layout(width="8em", flex="0 0 auto", display="none")
        )
        self._text = ipywidgets.HTML(layout=ipywidgets.Layout(flex="1 1 auto"))
        self._row = ipywidgets.HBox(
            [self._button, self._bar, self._text], layout=ipywidgets.Layout(align_items="center")
        )

    @property
    def view(self) -> dict[str, Any]:
        """What a front end needs to show the row."""
        return {"version_major": 2, "version_minor": 0, "model_id": self._row.model_id}

    @property
    def is_open(self) -> bool:
        """Whether the front end has not closed the comm."""
        from comm import get_comm_manager

        comm = self._button.comm
        return comm is not None and comm.comm_id in getattr(get_comm_manager(), "comms", {comm.comm_id})

    def say(self, html: str) -> None:
        """Show the state; the text is escaped already."""
        self._text.value = html

    def progress(self, done: str, total: str) -> None:
        """Show the progress; without a total, show no bar."""
        known = done.isdigit() and total.isdigit() and int(total) > 0
        self._bar.layout.display = None if known else "none"
        if known:
            self._bar.value = min(1.0, int(done) / int(total))

    def stopping(self, problem: str) -> None:
        """Show that Stop was heard."""
        self._button.disabled = not problem
        self._button.description = "Stop" if problem else "Stopping…"
        self._button.tooltip = problem or f"Job {self._job} is being stopped"

    def close(self) -> None:
        """Close every model that was made."""
        for widget in (self._row, self._button, self._bar, self._text):
            for name in ("style", "layout"):
                part = getattr(widget, name, None)
                if part is not None:
                    part.close()
            widget.close()
