"""Shows many jobs of a running cell as one card that changes in place, and notes which cell they belong to."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.jobs.standing import Standing, Standings
from bacalhau_jupyter.notebook.live.many_card import bundle_of
from bacalhau_jupyter.notebook.live.pane import show_card

if TYPE_CHECKING:
    from bacalhau_jupyter.notebook.origin import CellOrigin

_UPDATE_S = 0.25
_JOBS_PER_S = 4000
"""The record of all jobs is sent at each update: the more there are, the rarer."""


class ManyView:
    """The card of a group of jobs; a `client.jobs.standing.View`.

    Parameters
    ----------
    origin
        Notes the jobs for the cell, so that it finds them again after a reload.
    show
        ``show(bundle, display_id, update)`` publishes the card.
    clock
        Returns seconds.
    """

    def __init__(
        self,
        origin: CellOrigin,
        show: Callable[[dict[str, Any], str, bool], None] = show_card,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = origin
        self._show = show
        self._clock = clock
        self._display_id = f"bacalhau-{uuid.uuid4().hex}"
        self._shown: tuple[Standings, str] | None = None
        self._last = float("-inf")
        self._noted: set[str] = set()

    def open(self, labels: Sequence[str], what: str, phase: str) -> None:
        """Show the card before there are jobs, with what goes on instead."""
        self._put(Standings(what, each=[Standing(label) for label in labels]), phase)

    def show(self, standings: Standings) -> None:
        """Show how the jobs stand, if it is time to; note those that are new in any case."""
        self._note(standings)
        if self._clock() - self._last >= max(_UPDATE_S, len(standings.each) / _JOBS_PER_S):
            self._put(standings, "")

    def finish(self, standings: Standings) -> None:
        """Show the record that stays in the notebook."""
        self._note(standings)
        self._put(standings, "")

    def give_up(self, words: str) -> None:
        """Say why there will be no jobs; where there are some, their card stays."""
        if self._shown is not None and self._shown[1]:
            self._put(self._shown[0], words)

    def _note(self, standings: Standings) -> None:
        new = [one for one in standings.each if one.job_id and one.job_id not in self._noted]
        if new:
            self._noted.update(one.job_id for one in new)
            self._origin.note_group(standings, new)

    def _put(self, standings: Standings, phase: str) -> None:
        content = (standings, phase)
        if content != self._shown:
            self._show(bundle_of(standings, phase), self._display_id, self._shown is not None)
            self._shown = content
            self._last = self._clock()
