"""Finding the cluster, losing it, finding it again."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import ServiceUnavailable
from bacalhau_jupyter.server.cluster.connection import LONGEST_DELAY_S, ClusterConnection
from tests.clock import ManualClock


class Finder:
    """Finds what it is told to; counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None

    def __call__(self) -> Endpoint:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return Endpoint(url=f"http://127.0.0.1:{self.calls}")


async def test_callers_at_the_same_time_share_one_attempt() -> None:
    entered, go_on = threading.Event(), threading.Event()
    finder = Finder()

    def slowly() -> Endpoint:
        entered.set()
        assert go_on.wait(60)
        return finder()

    connection = ClusterConnection(slowly)
    waiting = [asyncio.create_task(connection.endpoint()) for _ in range(5)]
    await asyncio.to_thread(entered.wait, 60)
    go_on.set()
    assert len({endpoint.url for endpoint in await asyncio.gather(*waiting)}) == 1
    assert finder.calls == 1


async def test_a_lost_endpoint_is_looked_up_again_once_by_all_who_lost_it() -> None:
    finder = Finder()
    connection = ClusterConnection(finder)
    first = await connection.endpoint()
    second, third = await asyncio.gather(connection.renew(first), connection.renew(first))
    assert first is not second
    assert second is third
    assert finder.calls == 2


def test_a_node_that_does_not_start_is_tried_again_after_growing_pauses() -> None:
    clock, finder = ManualClock(), Finder()
    finder.error = ServiceUnavailable("the node did not start: no disk")
    connection = ClusterConnection(finder, clock=clock)
    attempts_at = []
    for second in range(120):
        before = finder.calls
        with pytest.raises(ServiceUnavailable, match="no disk"):
            connection.connect()
        if finder.calls > before:
            attempts_at.append(second)
        clock.advance(1)
    pauses = [later - earlier for earlier, later in itertools.pairwise(attempts_at)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_DELAY_S
    assert connection.problem == "the node did not start: no disk"
    finder.error = None
    clock.advance(LONGEST_DELAY_S)
    connection.connect()
    assert connection.problem == ""


def test_trouble_of_the_operating_system_is_one_sentence_too() -> None:
    finder = Finder()
    finder.error = FileNotFoundError(2, "No such file or directory")
    with pytest.raises(ServiceUnavailable, match="can't be started: No such file"):
        ClusterConnection(finder).connect()


async def test_the_event_loop_never_waits_for_an_attempt() -> None:
    entered, go_on = threading.Event(), threading.Event()
    finder = Finder()

    def slowly() -> Endpoint:
        if finder.calls:
            entered.set()
            assert go_on.wait(60)
        return finder()

    connection = ClusterConnection(slowly)
    first = await connection.endpoint()
    renewal = asyncio.create_task(connection.renew(first))
    await asyncio.to_thread(entered.wait, 60)
    connection.drop(first)
    assert connection.current is None
    go_on.set()
    assert (await renewal).url == "http://127.0.0.1:2"


class HeldFinder(Finder):
    """Its first attempt goes on when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.first_error: Exception | None = None

    def __call__(self) -> Endpoint:
        endpoint = super().__call__()
        if self.calls == 1:
            self.entered.set()
            assert self.go_on.wait(60)
            if self.first_error is not None:
                raise self.first_error
        return endpoint


@pytest.mark.parametrize("error", [None, ServiceUnavailable("the old cluster can't be reached")])
async def test_a_switch_while_a_cluster_is_looked_for_counts_for_all_who_wait(
    error: Exception | None,
) -> None:
    finder, published = HeldFinder(), list[str]()
    finder.first_error = error
    connection = ClusterConnection(finder, on_endpoint=lambda endpoint: published.append(endpoint.url))
    before = asyncio.create_task(connection.endpoint())
    await asyncio.to_thread(finder.entered.wait, 60)
    thread = asyncio.create_task(asyncio.to_thread(connection.connect))
    connection.switch()
    after = asyncio.create_task(connection.endpoint())
    await asyncio.sleep(0)
    finder.go_on.set()
    endpoints = await asyncio.wait_for(asyncio.gather(before, after, thread), 60)
    assert {endpoint.url for endpoint in endpoints} == {"http://127.0.0.1:2"}
    assert published == ["http://127.0.0.1:2"]
    assert connection.problem == ""


async def test_a_switch_in_the_turn_of_the_loop_in_which_work_begins_ends_it() -> None:
    connection = ClusterConnection(Finder())

    async def work() -> None:
        await asyncio.Event().wait()

    async def switch() -> None:
        connection.switch()

    ended = asyncio.gather(connection.unless_switched(work()), switch())
    assert (await asyncio.wait_for(ended, 60))[0]
