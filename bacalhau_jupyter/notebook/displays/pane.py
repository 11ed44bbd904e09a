"""Shows the displays of one job among its text, within the limits of a notebook."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from bacalhau_jupyter.client.jobs.watch import Output
from bacalhau_jupyter.notebook.displays.allowed import Shown, allowed
from bacalhau_jupyter.notebook.displays.frames import Display, DisplayReader

TEXT_BYTES = 600_000
IMAGE_BYTES = 8_000_000
DISPLAYS = 500
"""All displays of a job together, in its cell's output."""

STDOUT = 1
REDRAW_S = 0.1
"""Shortest time between two pictures of one display."""

Show = Callable[[dict[str, Any], dict[str, Any], str, bool], None]
"""``show(data, metadata, display_id, update)``."""


class TextPane(Protocol):
    """Where text goes."""

    def write(self, stream: int, text: str) -> None:
        """Show a chunk."""


class DisplayPane:
    """Takes a job's output apart and shows its displays; text goes on to ``texts``.

    Parameters
    ----------
    texts
        Shows text.
    show
        Publishes a bundle.
    has_runner
        Says whether the job is a Python cell of ours.
    clock
        Returns seconds; paces displays that are updated often.
    """

    def __init__(
        self,
        texts: TextPane,
        show: Show,
        has_runner: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._shown_at: dict[str, float] = {}
        self._held: dict[str, Shown] = {}
        self._texts = texts
        self._show = show
        self._has_runner = has_runner
        self._readers: dict[str, DisplayReader] = {}
        self._identifiers: dict[tuple[str, str], str] = {}
        self._sizes: dict[str, Shown] = {}
        self._full = False

    @property
    def has_displays(self) -> bool:
        """Whether something was displayed."""
        return bool(self._sizes)

    def write(self, output: Output) -> None:
        """Show a chunk of the job's output."""
        if output.stream != STDOUT:
            self._texts.write(output.stream, output.text)
            return
        if output.execution not in self._readers:
            self._readers[output.execution] = DisplayReader(self._has_runner)
        for item in self._readers[output.execution].feed(output.text):
            if isinstance(item, str):
                self._texts.write(STDOUT, item)
            else:
                self._put(output.execution, item)

    def tick(self) -> None:
        """Show updates that were held back, if it is time to; call this several times a second."""
        now = self._clock()
        due = [name for name in self._held if now - self._shown_at[name] >= REDRAW_S]
        for identifier in due:
            self._update(identifier, self._held.pop(identifier))

    def finish(self) -> None:
        """Show what was held back."""
        for identifier, shown in self._held.items():
            self._update(identifier, shown)
        self._held.clear()
        for reader in self._readers.values():
            text = reader.finish()
            if text:
                self._texts.write(STDOUT, text)

    def _put(self, execution: str, display: Display) -> None:
        shown = allowed(display.data, display.metadata)
        # The job's own identifiers never reach the notebook: they could be those of other outputs.
        key = (execution, display.name)
        known = self._identifiers.get(key) if display.name else None
        identifier = known if known and display.is_update else f"bacalhau-display-{secrets.token_hex(8)}"
        if not self._fits(identifier, shown):
            if not self._full:
                self._full = True
                self._texts.write(
                    STDOUT, "[more displays than a notebook should hold: the rest is left out]\n"
                )
            return
        update = identifier in self._sizes
        self._sizes[identifier] = shown
        if display.name:
            self._identifiers[key] = identifier
        if not update:
            self._shown_at[identifier] = self._clock()
            self._show(shown.data, shown.metadata, identifier, False)
            return
        # A loop may update faster than a browser draws: only the newest picture counts.
        self._held[identifier] = shown
        self.tick()

    def _update(self, identifier: str, shown: Shown) -> None:
        self._shown_at[identifier] = self._clock()
        self._show(shown.data, shown.metadata, identifier, True)

    def _fits(self, identifier: str, shown: Shown) -> bool:
        others = [size for name, size in self._sizes.items() if name != identifier]
        return (
            len(others) < DISPLAYS
            and sum(each.text_bytes for each in others) + shown.text_bytes <= TEXT_BYTES
            and sum(each.image_bytes for each in others) + shown.image_bytes <= IMAGE_BYTES
        )
