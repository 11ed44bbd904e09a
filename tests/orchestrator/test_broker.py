from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.orchestrator.broker import Broker, Evaluation
from tests.clock import ManualClock


async def test_priority_first_then_first_come_first_served() -> None:
    broker = Broker(ManualClock())
    for job, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        broker.enqueue(job, priority)
    taken = [broker.take() for _ in range(5)]
    assert [e.job_id for e in taken if e] == ["b", "d", "a", "c"]
    assert taken[4] is None


async def test_what_is_asked_for_during_an_evaluation_becomes_one_more() -> None:
    broker = Broker(ManualClock())
    broker.enqueue("a")
    flying = broker.take()
    assert flying is not None
    for _ in range(3):
        broker.enqueue("a")
    assert broker.take() is None
    broker.ack(flying)
    again = broker.take()
    assert again == Evaluation("a", 0, 1)
    broker.ack(again)
    assert broker.take() is None


async def test_a_failed_evaluation_comes_again_after_five_then_thirty_seconds() -> None:
    clock = ManualClock()
    broker = Broker(clock)
    broker.enqueue("a", 3)
    for attempt, delay_s in ((1, 5), (2, 30), (3, 30)):
        evaluation = broker.take()
        assert evaluation == Evaluation("a", 3, attempt)
        broker.nack(evaluation)
        clock.advance(delay_s - 0.1)
        assert broker.take() is None
        clock.advance(0.1)


async def test_of_several_times_the_earliest_counts_and_now_beats_later() -> None:
    clock = ManualClock()
    broker = Broker(clock)
    now = clock.now_ns()
    broker.enqueue("a", 0, now + 10**9)
    broker.enqueue("a", 0, now + 5 * 10**9)
    assert broker.due_ns() == now + 10**9
    broker.enqueue("a")
    evaluation = broker.take()
    assert evaluation is not None
    broker.ack(evaluation)
    clock.advance(10)
    assert broker.take() is None


async def test_evaluations_put_off_until_tomorrow_leave_nothing_behind_when_their_jobs_end() -> None:
    clock = ManualClock()
    broker = Broker(clock)
    broker.enqueue("waits", 0, clock.now_ns() + 24 * 3600 * SECOND)
    for number in range(10_000):
        broker.enqueue(f"j-{number}", 0, clock.now_ns() + 24 * 3600 * SECOND)
        broker.enqueue(f"j-{number}")
        evaluation = broker.take()
        assert evaluation is not None
        broker.ack(evaluation)
        broker.forget(f"j-{number}")
    assert len(broker) == 1
    assert len(broker._delayed) < 200
    clock.advance(24 * 3600)
    assert broker.take() == Evaluation("waits", 0)


async def test_dequeue_wakes_for_what_is_enqueued_and_for_what_falls_due() -> None:
    clock = ManualClock()
    broker = Broker(clock)
    waiter = asyncio.create_task(broker.dequeue())
    await asyncio.sleep(0)
    broker.enqueue("a", 0, clock.now_ns() + 3600 * 10**9)
    await asyncio.sleep(0)
    assert not waiter.done()
    clock.advance(3600)
    broker.wake()
    assert (await asyncio.wait_for(waiter, 30)).job_id == "a"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enqueue", "take", "ack", "nack", "later", "wait"]), st.sampled_from("abc")
        )
    )
)
def test_a_job_is_in_flight_once_and_no_wish_is_lost(steps: list[tuple[str, str]]) -> None:
    async def run() -> None:
        clock = ManualClock()
        broker = Broker(clock)
        flying: dict[str, Evaluation] = {}
        wished: Counter[str] = Counter()  # wishes since the job was last taken
        for what, job in steps:
            if what == "enqueue":
                broker.enqueue(job, ord(job))
                wished[job] += 1
            elif what == "later":
                broker.enqueue(job, ord(job), clock.now_ns() + 10**9)
                wished[job] += 1
            elif what == "take":
                evaluation = broker.take()
                if evaluation is not None:
                    assert evaluation.job_id not in flying
                    flying[evaluation.job_id] = evaluation
                    wished[evaluation.job_id] = 0
            elif what == "ack" and job in flying:
                broker.ack(flying.pop(job))
            elif what == "nack" and job in flying:
                broker.nack(flying.pop(job))
                wished[job] += 1
            elif what == "wait":
                clock.advance(40)
        for evaluation in flying.values():
            broker.ack(evaluation)
        clock.advance(100)
        left = set()
        while (last := broker.take()) is not None:
            assert last.job_id not in left
            left.add(last.job_id)
        # What was asked for at a time may come although the job was looked at since; nothing is left out.
        assert left >= {job for job, count in wished.items() if count}
        assert left <= set(wished)

    asyncio.run(run())
