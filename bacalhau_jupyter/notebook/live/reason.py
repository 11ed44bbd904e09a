"""Why the job of a card waits, asked again now and then while it waits."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from collections.abc import Callable

from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.explanation import FEATURE, Explanation
from bacalhau_jupyter.models.records.outcome import Outcome

EVERY_S = 2.0
"""Seconds between two questions at least."""


class WaitingReason:
    """The reason, as far as it is known; `tick` never waits for the answer.

    Parameters
    ----------
    job
        The job.
    clock
        Monotonic seconds.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self._job = job
        self._clock = clock
        self._question: concurrent.futures.Future[Explanation] | None = None
        self._asked_s = float("-inf")
        self._is_answered: bool | None = None
        self.text = ""
        """Empty while nothing is known, and while the job does not wait."""

    def tick(self, *, is_queued: bool) -> None:
        """Take an answer that has come, and ask if it is time to; a job that is not queued has no reason."""
        if not is_queued:
            self.text = ""
            self.close()
            return
        if self._question is not None:
            if not self._question.done():
                return
            with contextlib.suppress(BacalhauError, concurrent.futures.CancelledError):
                explanation = self._question.result()
                self.text = explanation.summary if explanation.outcome is Outcome.WAITING else ""
            self._question = None
        if self._clock() - self._asked_s < EVERY_S or not self._explains():
            return
        self._asked_s = self._clock()
        self._question = self._job.portal.start(self._job.client.acall(lambda api: api.explain(self._job.id)))

    def close(self) -> None:
        """Ask no more; an open question is dropped."""
        if self._question is not None:
            self._question.cancel()
            self._question = None

    def _explains(self) -> bool:
        if self._is_answered is None:
            self._is_answered = FEATURE in self._job.features
        return self._is_answered
