"""Which of the recorded jobs belong into which notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bacalhau_jupyter.config.submissions import Submission

SLACK_NS = 2_000_000_000
"""A save that begins just before a cell's output arrives ends after the submission."""


def in_notebook(
    submissions: Iterable[Submission], notebook: str, sessions: Mapping[str, bool], saved_ns: int
) -> list[Submission]:
    """Return the jobs that belong into a notebook and that its file does not know, the oldest first.

    Parameters
    ----------
    submissions
        The record, the oldest first.
    notebook
        Path of the notebook on this machine; empty for contents that lie on no disk, whose kernels know only a name.
    sessions
        Running kernel → whether it is the kernel of this notebook. A notebook that was renamed keeps its kernel, which
        still knows the old name.
    saved_ns
        When the file was last saved, in Unix nanoseconds. What was there by then is in the file, or a person removed
        it.
    """
    runs: dict[str, list[Submission]] = {}
    for one in submissions:
        belongs = sessions.get(one.kernel, bool(notebook) and one.notebook == notebook)
        if not belongs or not one.cell or one.time_ns <= saved_ns - SLACK_NS:
            continue
        run = runs.setdefault(one.cell, [])
        if run and run[-1].run != one.run:
            # The cell was run again: its earlier output is gone.
            run.clear()
        run.append(one)
    return sorted((one for run in runs.values() for one in run), key=lambda one: one.time_ns)
