"""TAB in one shell: for our lines we answer alone, for all other text IPython does. Imports nothing until then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LINE = re.compile(r"\s*(?:[\w\s,.]+=\s*)?(%{1,2})bacalhau\s")


class Completer:
    """Stands before IPython's completer, whose hooks can't take its own answers away: files, magics, variables.

    Parameters
    ----------
    shell
        The shell.
    session
        Returns the notebook's session; called at the first TAB on a line of ours.
    """

    def __init__(self, shell: InteractiveShell, session: Callable[[], Any]) -> None:
        self._completer: Any = shell.Completer
        self._session = session
        if self._completer is not None:
            self._others: Callable[[str, int], Iterator[Any]] = self._completer.completions
            self._completer.__dict__["completions"] = self.completions

    def close(self) -> None:
        """Leave the shell as it was."""
        if self._completer is not None and self._completer.__dict__.get("completions") == self.completions:
            del self._completer.__dict__["completions"]

    def completions(self, text: str, offset: int) -> Iterator[Any]:
        """Return completions at an offset of a cell's text."""
        line_start = text.rfind("\n", 0, offset) + 1
        line = text[line_start:offset]
        magic = _LINE.match(line)
        above = text[:line_start].strip()
        # A body below our magic belongs to its own language; a cell magic is the first line of its cell.
        if magic is None or above.startswith("%%bacalhau") or (above and magic[1] == "%%"):
            yield from self._others(text, offset)
            return
        from IPython.core.completer import Completion

        from bacalhau_jupyter.notebook.completion import complete_words

        for offer in complete_words(line, magic.end(), self._session(), is_cell=magic[1] == "%%"):
            words = offer.words or "<unknown>"
            yield Completion(start=line_start + offer.start, end=offset, text=offer.text, type=words)
