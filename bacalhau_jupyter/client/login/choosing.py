"""Let a person choose one of several words by its number, in the official client's texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

PROMPT = "Choose a number: "


def choose(
    question: str, names: Sequence[str], *, read: Callable[[str], str], say: Callable[[str], None]
) -> str | None:
    """Return the chosen name; None where nothing is entered.

    Parameters
    ----------
    read
        Shows a prompt and returns the line that is entered; empty at the end of the input.
    say
        Shows a line.
    """
    say(question)
    for number, name in enumerate(names, 1):
        say(f"{number}. {name}")
    while text := read(PROMPT).strip():
        if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= len(names):
            return names[int(text[:9]) - 1]
        say(f"invalid choice: {text[:80]!r}" if not text.isprintable() else f"invalid choice: {text[:80]}")
    return None
