"""The fields as plain ipywidgets: one per text of the form, each with a line for what is wrong or free."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import JobType
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.form.state import DOCKER, LANGUAGES, PROCESS, FormState, Problem, as_text

_ROWS = {"code": 8, "pip": 1, "ins": 1, "env": 2, "labels": 2, "outputs": 2, "domains": 1}
_LABEL_WIDTH = "130px"


@dataclass(frozen=True)
class Field:
    """One field: its name in `FormState`, its label, an example, and what it offers."""

    name: str
    label: str
    example: str = ""
    choices: Sequence[str] = ()
    engines: Sequence[str] = ()
    """Where it is shown: for these engines; empty for all, languages too."""
    languages: Sequence[str] = LANGUAGES
    """The languages for which it is shown, where ``engines`` is not empty."""


PROGRAM = (
    Field("image", "Image", "ubuntu, python:3.12", engines=(DOCKER,)),
    Field("command", "Command", "echo 'hello world'", engines=(DOCKER, PROCESS), languages=()),
    Field("entrypoint", "Entrypoint", "the image's own", engines=(DOCKER,), languages=()),
    Field("code", "Code", "print('hello')", engines=("code",)),
    Field("pip", "Packages", "polars>=1, one a line", engines=("code",), languages=("python",)),
    Field("ins", "Variables", "names of variables to send, one a line", engines=("code",)),
    Field("workdir", "Directory", "the working directory inside the job", engines=(DOCKER, PROCESS)),
    Field("env", "Environment", "NAME=VALUE, one a line; NAME alone passes on the kernel's own"),
)
DATA = (
    Field("outputs", "Outputs", "name:/path/in/the/job, one a line"),
    Field(
        "publisher",
        "Publisher",
        "local, ipfs, s3managed, s3://bucket/results/{jobID},opt=region=…",
        ("local",),
    ),
)
RESOURCES = (
    Field("cpu", "CPU", "500m, 2"),
    Field("memory", "Memory", "512mb, 4gb"),
    Field("disk", "Disk", "10gb"),
    Field("gpu", "GPU", "1"),
    Field(
        "network", "Network", choices=("", *(kind.value for kind in NetworkType if kind.value != "Default"))
    ),
    Field("domains", "Domains", "one a line, for the HTTP network"),
)
MORE = (
    Field("name", "Name", "submitting it again updates the job"),
    Field("namespace", "Namespace", "default"),
    Field("labels", "Labels", "key=value, one a line"),
    Field("kind", "Type", choices=[kind.value for kind in JobType]),
    Field("count", "Count", "1"),
    Field("priority", "Priority", "0; a larger number goes first"),
    Field("constraints", "Nodes", "zone in (eu,us),!spot"),
    Field("timeout", "Timeout", "90s, 1m30s, 2h: in all"),
    Field("queue_timeout", "Queue timeout", "how long the job may wait for room"),
    Field("execution_timeout", "Execution timeout", "how long one execution may take"),
)
SECTIONS = {"Program": PROGRAM, "Data": DATA, "Resources": RESOURCES, "More": MORE}
_CHOICES = ("network", "kind")
"""Fields that take nothing but their choices."""


WRONG = "var(--jp-bacalhau-error, #c62828)"
"""The colour of what is wrong: the theme's, where our extension knows one."""
ASIDE = "var(--jp-bacalhau-faint, gray)"
"""The colour of what is said beside a field."""


def load_widgets() -> Any:
    """Return ipywidgets.

    Raises
    ------
    BadRequest
        It is not installed.
    """
    try:
        import ipywidgets
    except ImportError:
        raise BadRequest(
            "the form needs ipywidgets, which is not installed here",
            hint="%pip install 'bacalhau-jupyter[widgets]', then reload the page",
            component="Notebook",
        ) from None
    return ipywidgets


def plain_html(text: str, colour: str = "inherit") -> str:
    """Return text as HTML that shows exactly it; nothing in it is taken for HTML or for a formula."""
    # Front ends look for formulas everywhere but in <pre>.
    lines = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;line-height:1.4"
    style = f"margin:0;font-family:inherit;{lines};color:{colour}"
    return f'<pre style="{style}">{html.escape(readable(text, lines=True))}</pre>' if text else ""


class Fields:
    """The widgets of all fields that hold one text.

    Parameters
    ----------
    changed
        Called after a person changed a field.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._widgets = load_widgets()
        self._changed = changed
        self._filler = 0
        self._notes: dict[str, Any] = {}
        self._boxes: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        """Name of a field → the widget that holds its text."""
        self.runs = self._watched(
            self._widgets.Dropdown(description="Runs", style={"description_width": _LABEL_WIDTH})
        )

    def section(self, fields: Sequence[Field]) -> list[Any]:
        """Return the widgets of some fields, in order."""
        return [self._made(field) for field in fields]

    def fill(self, state: FormState, runs: Sequence[str]) -> None:
        """Show a state."""
        with self._filling():
            self.offer(runs, state.runs)
            for name, widget in self.inputs.items():
                text = getattr(state, name)
                if name in _CHOICES and text not in widget.options:
                    widget.options = (*widget.options, text)
                widget.value = text
            self.show_for(state)

    def offer(self, runs: Sequence[str], chosen: str) -> None:
        """Offer languages and engines, and choose one."""
        with self._filling():
            if tuple(self.runs.options) != tuple(runs):
                self.runs.options = tuple(runs)
            self.runs.value = chosen

    def texts(self) -> dict[str, str]:
        """Return the text of each field."""
        return {name: as_text(widget.value) for name, widget in self.inputs.items()} | {
            "runs": self.runs.value
        }

    def show_for(self, state: FormState) -> None:
        """Show the fields of a language or an engine; hide the others."""
        kind = state.runs.strip().lower()
        for fields in SECTIONS.values():
            for field in fields:
                if not field.engines:
                    continue
                is_shown = state.runs in field.languages if state.is_code else kind in field.engines
                self._boxes[field.name].layout.display = None if is_shown else "none"

    def say(self, problems: Sequence[Problem], notes: Mapping[str, str]) -> None:
        """Show the problems beside their fields, elsewhere the notes (field → text)."""
        for name, note in self._notes.items():
            words = [f"{item.sentence}\n{item.hint}".strip() for item in problems if item.field == name]
            note.value = (
                plain_html("\n".join(words), WRONG) if words else plain_html(notes.get(name, ""), ASIDE)
            )

    def suggest(self, name: str, choices: Sequence[str]) -> None:
        """Offer texts for a field."""
        self.inputs[name].options = tuple(choices)

    def _made(self, field: Field) -> Any:
        widgets = self._widgets
        shared = {
            "description": field.label,
            "style": {"description_width": _LABEL_WIDTH},
            "layout": widgets.Layout(flex="0 0 480px", width="480px"),
        }
        if field.name in _CHOICES:
            made = widgets.Dropdown(options=tuple(field.choices), **shared)
        elif field.choices:
            made = widgets.Combobox(
                options=tuple(field.choices), placeholder=field.example, ensure_option=False, **shared
            )
        elif field.name in _ROWS:
            made = widgets.Textarea(placeholder=field.example, rows=_ROWS[field.name], **shared)
        else:
            made = widgets.Text(placeholder=field.example, **shared)
        self.inputs[field.name] = self._watched(made)
        self._notes[field.name] = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", min_width="0"))
        self._boxes[field.name] = widgets.HBox([made, self._notes[field.name]])
        return self._boxes[field.name]

    def _watched(self, widget: Any) -> Any:
        widget.observe(self._on_change, names="value")
        return widget

    @contextmanager
    def _filling(self) -> Iterator[None]:
        before, self._filler = self._filler, threading.get_ident()
        try:
            yield
        finally:
            self._filler = before

    def _on_change(self, change: object) -> None:
        del change
        # What a person types while a thread of ours writes into fields is no work of that thread.
        if self._filler != threading.get_ident():
            self._changed()
