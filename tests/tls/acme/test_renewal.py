"""When a certificate is renewed, moved by hand: two thirds of the lifetime, back-off, and what is served meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.tls.acme.bundle import Bundle
from bacalhau_jupyter.tls.acme.cache import Cache
from bacalhau_jupyter.tls.acme.renewal import TASK, Keeper, renewal_ns
from bacalhau_jupyter.tls.acme.server import Refusal
from tests.clock import ManualClock
from tests.tls.acme.validated import DAY_S, certificate

HOST = "node.example.org"
START_S = 1_700_000_000
LIFETIME_S = 90 * DAY_S


class _Over(Exception):
    """Ends a loop."""


class Authority:
    """Issues certificates by the clock of the test; `failures` come first."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.failures: list[Exception] = []
        self.orders_s: list[float] = []

    def now_s(self) -> float:
        return self.clock.now_ns() / 1e9

    async def order(self) -> Bundle:
        self.orders_s.append(self.now_s() - START_S)
        if self.failures:
            raise self.failures.pop(0)
        return certificate(HOST, starts_s=self.now_s(), ends_s=self.now_s() + LIFETIME_S)


class World:
    """A keeper whose sleep moves the clock."""

    def __init__(self, directory: Path, *, dice: float = 0.0) -> None:
        self.clock = ManualClock(START_S * 10**9)
        self.authority = Authority(self.clock)
        self.cache = Cache(directory)
        self.problems = Problems(self.clock)
        self.served: list[Bundle] = []
        self.end_s = 0.0
        self.dice = dice
        self.on_sleep: Callable[[], None] = lambda: None
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Keeper:
        return Keeper(
            (HOST,),
            self.cache,
            self.authority.order,
            self.served.append,
            clock=self.clock,
            problems=self.problems,
            sleep=self.sleep,
            dice=lambda: self.dice,
        )

    async def sleep(self, seconds: float) -> None:
        self.on_sleep()
        if self.authority.now_s() - START_S >= self.end_s:
            raise _Over
        self.clock.advance(seconds)

    def run(self, days: float) -> None:
        self.end_s = days * DAY_S
        with pytest.raises(_Over):
            asyncio.run(self.keeper.run())


@pytest.mark.parametrize("jitter", [-1.0, 0.0, 0.37, 1.0])
def test_a_certificate_is_renewed_at_about_two_thirds_of_its_life(jitter: float) -> None:
    bundle = certificate(HOST, starts_s=START_S, ends_s=START_S + LIFETIME_S)
    share = (renewal_ns(bundle, jitter) / 1e9 - START_S) / LIFETIME_S
    assert share == pytest.approx(2 / 3 + 0.05 * jitter)


def test_certificates_follow_each_other_before_they_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(days=200)
    assert [order_s / DAY_S for order_s in world.authority.orders_s] == pytest.approx(
        [0, 60, 120, 180], abs=0.1
    )
    assert world.cache.load(HOST) == world.served[-1]
    assert world.problems.every() == []


def test_after_a_restart_nothing_is_ordered_before_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(days=10)
    world.keeper = world.new_keeper()
    assert world.keeper.take_up()
    world.run(days=59)
    assert len(world.authority.orders_s) == 1
    assert world.served[0] == world.served[1]


def test_failures_are_tried_again_ever_more_slowly_and_shown_until_one_succeeds(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.authority.failures = [NetworkFailure("no route") for _ in range(8)]
    seen: list[str] = []
    world.on_sleep = lambda: seen.extend(problem.task for problem in world.problems.every())
    world.run(days=1)
    pauses = [later - earlier for earlier, later in itertools.pairwise(world.authority.orders_s)]
    assert pauses == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert seen == [TASK] * 8
    assert world.problems.every() == []
    assert len(world.served) == 1


def test_the_old_certificate_is_served_while_renewal_fails(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(days=1)
    world.authority.failures = [NetworkFailure("no route") for _ in range(30)]
    served_meanwhile: list[int] = []
    world.on_sleep = lambda: served_meanwhile.append(len(world.served)) if world.problems.every() else None
    world.run(days=62)
    assert set(served_meanwhile) == {1}
    assert len(world.served) == 2


def test_a_server_that_names_a_time_is_left_alone_until_then(tmp_path: Path) -> None:
    world = World(tmp_path)
    problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates"}
    world.authority.failures = [Refusal("acme.example.org", problem, 5 * 3600.0)]
    world.run(days=1)
    assert world.authority.orders_s == [0, 5 * 3600]


def test_a_certificate_that_another_node_renewed_is_taken_from_the_shared_folder(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(days=1)
    later_s = START_S + 50 * DAY_S
    world.cache.store(HOST, certificate(HOST, starts_s=later_s, ends_s=later_s + LIFETIME_S))
    world.run(days=100)
    assert len(world.authority.orders_s) == 1
    assert len(world.served) == 2


@pytest.mark.parametrize(
    ("names", "starts_s", "ends_s"),
    [
        (("other.example.org",), START_S, START_S + LIFETIME_S),
        ((HOST,), START_S - LIFETIME_S, START_S),
        ((HOST,), START_S + 60, START_S + LIFETIME_S),
    ],
    ids=["another name", "expired", "not valid yet"],
)
def test_what_the_folder_has_is_served_only_if_clients_accept_it(
    tmp_path: Path, names: tuple[str, ...], starts_s: float, ends_s: float
) -> None:
    world = World(tmp_path)
    world.cache.store(HOST, certificate(*names, starts_s=starts_s, ends_s=ends_s))
    assert not world.keeper.take_up()
    world.run(days=1)
    assert len(world.authority.orders_s) == 1


def test_a_certificate_that_can_t_be_kept_is_served_all_the_same_and_kept_later(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    directory.write_text("a file where the folder should be")
    world = World(directory)
    tried: list[int] = []

    def mend() -> None:
        tried.append(len(world.served))
        if len(tried) == 3:
            directory.unlink()

    world.on_sleep = mend
    world.run(days=1)
    assert len(world.authority.orders_s) == 1
    assert set(tried) == {1}
    assert world.cache.load(HOST) == world.served[0]
    assert world.problems.every() == []


def test_a_clock_that_is_set_forward_is_noticed_within_the_hour(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(days=1)
    world.clock.jump(61 * DAY_S)
    world.run(days=63)
    assert len(world.authority.orders_s) == 2
