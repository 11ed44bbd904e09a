"""The page docs/older-versions.md, made from the table of words: ``python -m tests.config.words_page`` writes it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from bacalhau_jupyter.config.words.table import WORDS
from bacalhau_jupyter.config.words.word import Kind, Standing, Word

PAGE = Path(__file__).parents[2] / "docs" / "older-versions.md"

_WIDTH = 100
_HEAD = """\
# Words of older versions

Documents of Bacalhau 1.0 to 1.6 name verbs, flags, variables, config keys and files that have other
names today, or are gone. This page says what each does here. It is made from
`bacalhau_jupyter/config/words`; a test fails when the two differ, when a word of the documents is
missing, and when one does not do what it says.

* **works**: as the documents say.
* **is … today**: it works. A notice on stderr names today's word, once per process.
* **gone**: it has no effect, and a sentence says what replaced it. A verb that is gone is an error.

A key of today wins over an old one, a flag over a variable, a variable over a file.
"""


def page() -> str:
    """Return the text of the page."""
    parts = [_HEAD]
    for kind in Kind:
        words = sorted((word for word in WORDS if word.kind is kind), key=lambda word: word.name.lower())
        parts.append(f"## {kind.value}\n\n" + "\n".join(map(_entry, words)) + "\n")
    return "\n".join(parts)


def _entry(word: Word) -> str:
    where = [verb for verb in word.where if verb != "*"]
    of = f" ({', '.join(f'`{verb}`' for verb in where)})" if where else ""
    if word.standing is Standing.RENAMED:
        code = " and ".join(f"`{name}`" for name in word.modern.split(" and "))
        text = f"is {code} today" + (f"; {word.sentence}" if word.sentence else "")
    elif word.standing is Standing.REPLACED:
        text = f"gone: {word.sentence}"
    else:
        text = f"works: {word.sentence}" if word.sentence else "works"
    return "\n".join(
        textwrap.wrap(
            f"* `{word.name}`{of} {text}.",
            _WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


if __name__ == "__main__":
    PAGE.write_text(page())
