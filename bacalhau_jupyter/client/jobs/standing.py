"""How many jobs stand that belong together, and where that is shown while somebody waits for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bacalhau_jupyter.client.results.progress import Line, find_line
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.outcome import START_TIME, Outcome

_OVER = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.STOPPED)
_NAMED = (Outcome.FAILED, Outcome.STOPPED, Outcome.RUNNING, Outcome.WAITING)
"""What is counted beside the jobs that are done, in this order."""


@dataclass(frozen=True)
class Standing:
    """How one job of many stands.

    Attributes
    ----------
    label
        What distinguishes it, for people: ``lr=0.1, depth=3``.
    job_id
        Empty as long as the cluster has not taken it.
    duration_s
        How long it ran, once it is over and did run.
    error
        Why it did not end well.
    is_cached
        Whether a finished job answered for it.
    """

    label: str
    job_id: str = ""
    outcome: Outcome = Outcome.WAITING
    exit_code: int | None = None
    duration_s: float | None = None
    error: str = ""
    is_cached: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.outcome in _OVER


@dataclass(frozen=True)
class Standings:
    """How all jobs of one group stand.

    Attributes
    ----------
    what
        What to call them: ``combinations``, ``calls``.
    group
        The value of the label that they have in common.
    endpoint
        Address of their cluster.
    each
        One per job, in order.
    """

    what: str
    group: str = ""
    endpoint: str = ""
    each: Sequence[Standing] = field(default_factory=tuple)

    @property
    def text(self) -> str:
        """The counts in one line: ``7 of 12 combinations done, 1 failed, 2 running``."""
        text = counts_text(Counter(one.outcome for one in self.each), self.what)
        cached = sum(one.is_cached for one in self.each)
        return f"{text}, {cached:,} of them from the cache" if cached else text


def counts_text(counts: Counter[Outcome], what: str) -> str:
    """Write counts for people. Failed and stopped jobs are done, too: done, running and waiting are all there are."""
    done = sum(counts[outcome] for outcome in _OVER)
    others = [f"{counts[outcome]:,} {outcome.value}" for outcome in _NAMED if counts[outcome]]
    return ", ".join([f"{done:,} of {counts.total():,} {what} done", *others])


def seconds_of(job: Job) -> float | None:
    """Return how long a job ran, as far as its record says it: an official cluster notes no start."""
    text = job.state.details.get(START_TIME, "")
    start_ns = int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else 0
    return (job.modify_time - start_ns) / 1e9 if 0 < start_ns <= job.modify_time else None


class View(Protocol):
    """Where it is shown how many jobs stand."""

    def show(self, standings: Standings) -> None:
        """Show how they stand; called several times a second by the thread that waits."""
        ...

    def finish(self, standings: Standings) -> None:
        """Show how they stand in the end, or as far as somebody waited for them."""
        ...


class LineView:
    """Shows the counts in one line.

    Parameters
    ----------
    line
        The line.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._shown = ""

    def show(self, standings: Standings) -> None:
        """Show the counts where they changed."""
        if (text := standings.text) != self._shown:
            self._shown = text
            self._line.show(text)

    def finish(self, standings: Standings) -> None:
        """Show the last counts."""
        self.show(standings)


class NoView:
    """Shows nothing: a script without a terminal."""

    def show(self, standings: Standings) -> None:
        """Do nothing."""

    def finish(self, standings: Standings) -> None:
        """Do nothing."""


MakeView = Callable[[], View | None]
"""Makes a view where its surroundings are there; None elsewhere."""

_makers: list[MakeView] = []


def offer_view(make: MakeView) -> None:
    """Let views be made by ``make`` where it makes one: the notebook half offers its card."""
    if make not in _makers:
        _makers.append(make)


def find_view() -> View:
    """Return where many jobs are shown here: the first view that was offered and fits, else a line, else nothing."""
    for make in _makers:
        if (view := make()) is not None:
            return view
    line = find_line()
    return LineView(line) if line is not None else NoView()
