"""Notices about words of older documents: on stderr, each once per process."""

from __future__ import annotations

import contextlib
import sys

_printed_sentences: set[str] = set()


def tell(sentence: str) -> None:
    """Print a notice, unless this process has printed it already."""
    if sentence and sentence not in _printed_sentences:
        _printed_sentences.add(sentence)
        # stderr may be closed, or nobody may read it; that is no reason to fail.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"Note: {sentence}\n")


def forget() -> None:
    """Let every notice be told again."""
    _printed_sentences.clear()
