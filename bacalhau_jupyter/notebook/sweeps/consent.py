"""Whether a large sweep is meant: asked where somebody can answer, else a flag has to say it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.notebook.sweeps.parameters import ASKED_FROM, LIMIT_FLAG, REFUSED_FROM

Ask = Callable[[str], str]


def check_size(count: int, limit: int | None, ask: Ask | None) -> None:
    """Let a sweep pass, or not.

    Parameters
    ----------
    count
        Its combinations.
    limit
        What the flag allows; None without it.
    ask
        Asks the person; None where nobody can answer.

    Raises
    ------
    BadRequest
        The sweep is too large, or the person said no.
    """
    if count <= (ASKED_FROM if limit is None else limit):
        return
    hint = f"{LIMIT_FLAG} {count} allows it"
    if limit is not None or ask is None or count >= REFUSED_FROM:
        raise BadRequest(f"the sweep has {count:,} combinations, a job each", hint=hint)
    answer = ask(f"The sweep has {count:,} combinations, a job each. Submit them? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise BadRequest("the sweep was not submitted", hint=hint)


def asker(shell: Any) -> Ask | None:
    """Return how the person at this shell can be asked; None where there is none (nbclient, papermill, a script)."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return input if sys.stdin is not None and sys.stdin.isatty() else None
    return input if getattr(kernel, "_allow_stdin", False) else None
