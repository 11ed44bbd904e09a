"""The list of inputs, and the browser of what the node can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bacalhau_jupyter.models.wire.api import DataEntry, ListDataResponse
from bacalhau_jupyter.notebook.form.entries import entry_label, input_of, is_input, parent_of
from bacalhau_jupyter.notebook.form.fields import ASIDE, WRONG, load_widgets, plain_html
from bacalhau_jupyter.notebook.form.state import InputRow, Problem, as_text

_MOST_ROWS = 100
"""Inputs that are shown as rows; the others stay as they are."""

Look = Callable[[str, str, Callable[[ListDataResponse | None, str], None]], None]
"""``look(uri, token, then)``: ask what lies at an address, then call ``then(listing, problem)``."""


class InputList:
    """One row per input; rows can be added and removed.

    Parameters
    ----------
    changed
        Called after a person changed something.
    look
        Asks the node what lies at an address, without waiting for it.
    """

    def __init__(self, changed: Callable[[], None], look: Look) -> None:
        self._widgets = load_widgets()
        self._changed = changed
        self._rows: list[tuple[InputRow, Any]] = []
        self._hidden: Sequence[InputRow] = ()
        self._list = self._widgets.VBox()
        self._note = self._widgets.HTML()
        self._browser = Browser(self.add, look)
        add = self._widgets.Button(description="Add an input", icon="plus")
        add.on_click(lambda _: self.add(""))
        browse = self._widgets.Button(description="Browse the node", icon="folder-open")
        browse.on_click(lambda _: self._browser.toggle())
        buttons = self._widgets.HBox([add, browse])
        self.widget = self._widgets.VBox([self._list, self._note, buttons, self._browser.widget])

    @property
    def rows(self) -> tuple[InputRow, ...]:
        """The inputs as they stand there."""
        shown = [
            row if row.is_kept else InputRow(as_text(text.value), row.source, row.shown)
            for row, text in self._rows
        ]
        return (*shown, *self._hidden)

    def fill(self, rows: Sequence[InputRow]) -> None:
        """Show inputs."""
        self._rows = []
        self._hidden = tuple(rows[_MOST_ROWS:])
        self._list.children = tuple(self._row(row) for row in rows[:_MOST_ROWS])

    def add(self, text: str) -> None:
        """Add a row."""
        self._list.children = (*self._list.children, self._row(InputRow(text)))
        self._changed()

    def say(self, problems: Sequence[Problem]) -> None:
        """Show what is wrong with the inputs."""
        words = [f"{item.sentence}\n{item.hint}".strip() for item in problems if item.field == "inputs"]
        more = f"{len(self._hidden)} more inputs are kept" if self._hidden else ""
        self._note.value = plain_html("\n".join(words), WRONG) or plain_html(more, ASIDE)

    def _row(self, row: InputRow) -> Any:
        widgets = self._widgets
        text = widgets.Text(
            value=row.text,
            description="Input",
            placeholder="s3://bucket/key, ipfs://CID, https://…, file:///path, job:ID, a path here",
            disabled=row.is_kept,
            style={"description_width": "130px"},
            layout=widgets.Layout(width="600px"),
        )
        text.observe(lambda _: self._changed(), names="value")
        remove = widgets.Button(description="Remove", layout=widgets.Layout(width="80px"))
        box = widgets.HBox([text, remove])
        entry = (row, text)

        def drop(_: object) -> None:
            self._rows = [each for each in self._rows if each is not entry]
            self._list.children = tuple(child for child in self._list.children if child is not box)
            self._changed()

        remove.on_click(drop)
        self._rows.append(entry)
        return box


class Browser:
    """Shows what the node can read inputs from, place by place.

    Parameters
    ----------
    add
        Called with the short form of what a person chose.
    look
        As for `InputList`.
    """

    def __init__(self, add: Callable[[str], None], look: Look) -> None:
        widgets = load_widgets()
        self._add, self._look = add, look
        self._entries: list[DataEntry] = []
        self._uri = self._token = ""
        self._asked = 0
        self._address = widgets.Text(
            description="Address",
            placeholder="s3://bucket/, file:///path/",
            continuous_update=False,
            style={"description_width": "130px"},
            layout=widgets.Layout(width="600px"),
        )
        self._address.observe(self._typed, names="value")
        self._choices = widgets.Select(rows=8, layout=widgets.Layout(width="600px", margin="0 0 0 135px"))
        self._note = widgets.HTML()
        buttons = [
            self._button("Open", "folder-open", self._open),
            self._button("Up", "level-up", lambda: self.go(parent_of(self._uri))),
            self._button("Use as input", "check", self._use),
        ]
        self._more = self._button("More", "", lambda: self._ask(self._uri, self._token))
        self._more.layout.display = "none"
        self.widget = widgets.VBox(
            [self._address, self._choices, self._note, widgets.HBox([*buttons, self._more])],
            layout=widgets.Layout(display="none"),
        )

    def toggle(self) -> None:
        """Show or hide the browser; the first time it looks at the places there are."""
        is_hidden = self.widget.layout.display == "none"
        self.widget.layout.display = None if is_hidden else "none"
        if is_hidden and not self._entries:
            self.go(self._uri)

    def go(self, uri: str) -> None:
        """Look at an address."""
        self._uri = uri
        self._address.value = uri
        self._entries = []
        self._choices.options = ()
        self._ask(uri, "")

    def _ask(self, uri: str, token: str) -> None:
        self._asked += 1
        number = self._asked
        self._note.value = plain_html("looking …", ASIDE)

        def then(listing: ListDataResponse | None, problem: str) -> None:
            # An answer to an earlier question comes too late.
            if number == self._asked:
                self._show(listing, problem)

        self._look(uri, token, then)

    def _show(self, listing: ListDataResponse | None, problem: str) -> None:
        if listing is not None:
            self._entries = [*self._entries, *listing.entries]
            self._token = listing.next_token
        is_empty = not problem and not self._entries
        empty = "nothing is shared here" if self._uri else "this node offers no data to browse"
        self._note.value = plain_html(problem, WRONG) or plain_html(empty if is_empty else "", ASIDE)
        self._more.layout.display = None if self._token and not problem else "none"
        # Numbers are the values: two entries may look the same.
        chosen = self._choices.index or 0
        self._choices.options = [(entry_label(entry), at) for at, entry in enumerate(self._entries)]
        self._choices.index = min(chosen, len(self._entries) - 1) if self._entries else None

    def _chosen(self) -> DataEntry | None:
        at = self._choices.value
        return self._entries[at] if isinstance(at, int) and at < len(self._entries) else None

    def _open(self) -> None:
        entry = self._chosen()
        if entry is not None and entry.kind == "directory":
            self.go(entry.uri)

    def _use(self) -> None:
        entry = self._chosen()
        if entry is not None and is_input(entry):
            self._add(input_of(entry))

    def _typed(self, change: dict[str, Any]) -> None:
        if change["new"] != self._uri:
            self.go(str(change["new"]).strip())

    def _button(self, label: str, icon: str, act: Callable[[], None]) -> Any:
        button = load_widgets().Button(description=label, icon=icon)
        button.on_click(lambda _: act())
        return button
