"""Shows what the job of a call prints: as text; in a notebook, whose room says how, with its displays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from bacalhau_jupyter.client.jobs.interrupts import own_shell

if TYPE_CHECKING:
    from bacalhau_jupyter.client.jobs.job import Job

Show = Callable[["Job"], None]
"""Shows a job until it is over."""

_of_notebooks: list[Show] = []


def show_with(show: Show) -> None:
    """Let a function show the jobs of calls wherever IPython runs the caller."""
    _of_notebooks[:] = [show]


def show_output(job: Job) -> None:
    """Show what a job prints until it is over."""
    if _of_notebooks and own_shell() is not None:
        _of_notebooks[0](job)
    else:
        print_output(job)


def print_output(job: Job) -> None:
    """Print what a job prints until it is over; its displays are their plain texts."""
    # %load_ext imports this module, and stays quick.
    from bacalhau_jupyter.client.jobs.watch import Output
    from bacalhau_jupyter.models.records.displays import DisplayFilter

    displays = DisplayFilter()
    streams: dict[int, TextIO] = {1: sys.stdout, 2: sys.stderr}
    for update in job.updates():
        if isinstance(update, Output):
            text = displays.feed(update.text) if update.stream == 1 else update.text
            streams[update.stream].write(text)
    sys.stdout.write(displays.finish())
