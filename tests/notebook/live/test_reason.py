"""How often the card asks why its job waits, and what becomes of the answers."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.records.explanation import Explanation
from bacalhau_jupyter.models.records.outcome import Outcome
from bacalhau_jupyter.notebook.live.reason import EVERY_S, WaitingReason

Question = concurrent.futures.Future[Explanation]


class Asked:
    """A job whose questions are answered by hand."""

    def __init__(self, *features: str) -> None:
        self.features = features
        self.id = "j-1"
        self.now_s = 0.0
        self.questions: list[Question] = []
        self.portal = SimpleNamespace(start=self._start)
        self.client = SimpleNamespace(acall=self._ask)

    async def _ask(self, work: object) -> Explanation:
        raise NotImplementedError

    def _start(self, work: Coroutine[Any, Any, Explanation]) -> Question:
        work.close()
        self.questions.append(concurrent.futures.Future())
        return self.questions[-1]

    def reason(self) -> WaitingReason:
        return WaitingReason(cast(Job, self), lambda: self.now_s)


def answer(summary: str, outcome: Outcome = Outcome.WAITING) -> Explanation:
    return Explanation(summary=summary, outcome=outcome)


def test_it_asks_at_once_and_then_no_more_often_than_the_limit() -> None:
    job = Asked("explain")
    reason = job.reason()
    for _ in range(10):
        reason.tick(is_queued=True)
    assert len(job.questions) == 1
    job.questions[0].set_result(answer("waiting for 1 CPU"))
    reason.tick(is_queued=True)
    assert (reason.text, len(job.questions)) == ("waiting for 1 CPU", 1)
    job.now_s = EVERY_S
    reason.tick(is_queued=True)
    assert len(job.questions) == 2
    job.questions[1].set_result(answer("waiting for 2 CPU"))
    reason.tick(is_queued=True)
    assert reason.text == "waiting for 2 CPU"


def test_a_slow_answer_is_waited_for_instead_of_asking_again() -> None:
    job = Asked("explain")
    reason = job.reason()
    reason.tick(is_queued=True)
    job.now_s = 100.0
    reason.tick(is_queued=True)
    assert len(job.questions) == 1


def test_a_job_that_is_not_queued_is_not_asked_about() -> None:
    job = Asked("explain")
    reason = job.reason()
    reason.tick(is_queued=False)
    assert not job.questions


def test_a_job_that_runs_has_no_reason_and_its_open_question_is_dropped() -> None:
    job = Asked("explain")
    reason = job.reason()
    reason.tick(is_queued=True)
    reason.tick(is_queued=False)
    assert (job.questions[0].cancelled(), reason.text) == (True, "")


def test_a_cluster_that_does_not_explain_is_never_asked() -> None:
    job = Asked("events")
    job.reason().tick(is_queued=True)
    assert not job.questions


def test_a_lost_connection_leaves_the_last_reason_and_is_tried_again() -> None:
    job = Asked("explain")
    reason = job.reason()
    reason.tick(is_queued=True)
    job.questions[0].set_exception(NetworkFailure("gone"))
    job.now_s = EVERY_S
    reason.tick(is_queued=True)
    assert (reason.text, len(job.questions)) == ("", 2)


def test_an_answer_that_the_job_runs_by_now_is_no_reason_to_wait() -> None:
    job = Asked("explain")
    reason = job.reason()
    reason.tick(is_queued=True)
    job.questions[0].set_result(answer("runs on n-1", Outcome.RUNNING))
    reason.tick(is_queued=True)
    assert reason.text == ""
