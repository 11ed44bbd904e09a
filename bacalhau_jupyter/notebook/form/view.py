"""What a form looks like: fields on the left of their notes, the equal cell and YAML below, buttons, jobs."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.form.cell_text import CellText, YamlText
from bacalhau_jupyter.notebook.form.fields import ASIDE, SECTIONS, WRONG, Fields, load_widgets, plain_html
from bacalhau_jupyter.notebook.form.inputs import InputList, Look
from bacalhau_jupyter.notebook.form.nodes import Offers
from bacalhau_jupyter.notebook.form.state import FormState, InputRow, Problem

_PLACES = {
    field.name: f"{field.label} ({title})" for title, fields in SECTIONS.items() for field in fields
} | {"inputs": "Input (Data)"}
_MOST_RUNS = 5
"""Submissions that are shown; the panel has the others."""


class Actions(Protocol):
    """What the buttons do."""

    def press_submit(self) -> object: ...

    def insert(self) -> None: ...

    def insert_yaml(self) -> None: ...

    def close(self) -> None: ...


class FormView:
    """The widgets of one form.

    Parameters
    ----------
    changed
        Called after a person changed a field.
    look
        Asks the node what lies at an address.
    actions
        What the buttons do.
    """

    def __init__(self, changed: Callable[[], None], look: Look, actions: Actions) -> None:
        widgets = self._widgets = load_widgets()
        self._fields = Fields(changed)
        self._inputs = InputList(changed, look)
        self._kept, self._status = widgets.HTML(), widgets.HTML()
        self._cell, self._yaml = widgets.HTML(), widgets.HTML()
        sections = {title: self._fields.section(fields) for title, fields in SECTIONS.items()}
        sections["Data"].insert(0, self._inputs.widget)
        self._code = widgets.HTML()
        sections["Program"].append(self._code)
        tabs = widgets.Tab(children=[widgets.VBox(rows) for rows in sections.values()], titles=list(sections))
        texts = widgets.Tab(children=[self._cell, self._yaml], titles=["Cell", "YAML"])
        self._submit = self._button("Submit", "play", actions.press_submit, "primary")
        inserted = "It appears below the next cell that you run."
        self._insert_yaml = self._button("Insert YAML", "level-down", actions.insert_yaml, said=inserted)
        buttons = [
            self._submit,
            self._button("Insert cell", "level-down", actions.insert, said=inserted),
            self._insert_yaml,
            self._button("Close", "times", actions.close),
        ]
        self._runs = widgets.VBox()
        self.widget = widgets.VBox(
            [
                self._kept,
                self._fields.runs,
                tabs,
                texts,
                widgets.HBox(buttons),
                self._status,
                self._runs,
            ]
        )

    @property
    def texts(self) -> dict[str, str]:
        """The texts of the fields."""
        return self._fields.texts()

    @property
    def rows(self) -> tuple[InputRow, ...]:
        """The inputs."""
        return self._inputs.rows

    def fill(self, state: FormState, offers: Offers, code: str) -> None:
        """Show a state in the fields, and the code that its job carries."""
        self._code.value = (
            plain_html("the code of this job is kept:", ASIDE) + code_html(code) if code else ""
        )
        self._fields.fill(state, offers.runs(state.runs))
        self._inputs.fill(state.inputs)

    def offer(self, offers: Offers, chosen: str = "") -> None:
        """Offer what the cluster offers, and choose what runs; by default what stands there, known to us or not yet."""
        chosen = chosen or self._fields.runs.value
        self._fields.offer(offers.runs(chosen), chosen)
        self._fields.suggest("publisher", publisher_texts(offers.publishers))

    def show(self, state: FormState, kept: Sequence[str], cell: CellText, spec: YamlText) -> None:
        """Show what a state means."""
        self._fields.show_for(state)
        # YAML would hold a body in base64: the cell says the same.
        self._insert_yaml.layout.display = "none" if state.is_code else None
        count = "1 field kept" if len(kept) == 1 else f"{len(kept)} fields kept"
        self._kept.value = plain_html(f"{count}: {', '.join(kept)}" if kept else "", ASIDE)
        # Each text stands with its own notes: those of the one that is not shown would be a riddle.
        self._cell.value = code_html(str(cell)) + plain_html("\n".join(cell.notes), ASIDE)
        self._yaml.value = code_html(spec.text) + plain_html("\n".join(spec.notes), ASIDE)

    def say(
        self, problems: Sequence[Problem], notes: Mapping[str, str], note: str, *, is_submitting: bool
    ) -> None:
        """Show what is wrong, and what else is known."""
        self._fields.say(problems, notes)
        self._inputs.say(problems)
        nowhere = [f"{item.sentence}\n{item.hint}".strip() for item in problems if not item.field]
        elsewhere = sorted({_PLACES.get(item.field, item.field) for item in problems if item.field})
        fields = f"look at {', '.join(elsewhere)}" if elsewhere else ""
        wrong = "\n".join([*nowhere, *([fields] if fields else [])])
        self._status.value = plain_html(wrong, WRONG) or plain_html(note, ASIDE)
        self._submit.disabled = bool(problems) or is_submitting

    def submitting(self, run: Any) -> None:
        """Show a submission that begins."""
        self._submit.disabled = True
        self._runs.children = (run, *self._runs.children[: _MOST_RUNS - 1])

    def close(self) -> None:
        """Close every widget of the form."""
        waiting = [self.widget]
        while waiting:
            widget = waiting.pop()
            waiting += getattr(widget, "children", ())
            widget.close()

    def _button(
        self, label: str, icon: str, act: Callable[[], object], style: str = "", *, said: str = ""
    ) -> Any:
        button = self._widgets.Button(description=label, icon=icon, button_style=style)

        def clicked(_: object) -> None:
            try:
                act()
            except BacalhauError as error:
                self._status.value = plain_html(f"{error.message}\n{error.hint}".strip(), WRONG)
                return
            if said:
                self._status.value = plain_html(said, ASIDE)

        button.on_click(clicked)
        return button


def code_html(text: str) -> str:
    """Return code as HTML that shows exactly it."""
    style = "margin:0;padding:4px;overflow:auto;max-height:320px;user-select:text"
    return f'<pre style="{style}">{html.escape(readable(text, lines=True))}</pre>'


def publisher_texts(publishers: Sequence[str]) -> list[str]:
    """Return what to suggest for the publishers of a cluster."""
    return [f"{name}://bucket/results/{{jobID}}" if name == "s3" else name for name in publishers]
