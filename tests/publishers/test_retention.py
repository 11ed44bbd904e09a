"""Local results are kept by age and quota; removals are recorded, needed results stay."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import KeepingPublisher, PublishRequest
from bacalhau_jupyter.publishers import keeper, removals
from bacalhau_jupyter.publishers.keeper import MAX_AGE, QUOTA
from bacalhau_jupyter.publishers.local import LocalPublisher
from bacalhau_jupyter.publishers.removals import Removal
from bacalhau_jupyter.publishers.retention import Kept, Rules
from bacalhau_jupyter.publishers.shelf import mark_read, removal, result_path
from tests.services.waiting import lasts, until
from tests.transfer.helpers import names

HOUR = 3600
KB = 1000


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Shelf:
    """A publisher with a clock of its own, and results of about 10 kB each."""

    def __init__(self, root: Path, **settings: float) -> None:
        self.root = root
        self.clock = Clock()
        self.unfinished: set[str] = set()
        defaults: dict[str, object] = {
            QUOTA: 25 * KB,
            MAX_AGE: 0.0,
            "Publishers.Types.Local.MinAge": float(HOUR),
        }
        self.settings = defaults | {
            f"Publishers.Types.Local.{name}": value for name, value in settings.items()
        }
        self.publisher = self.make()

    def make(self) -> LocalPublisher:
        async def unfinished() -> Collection[str]:
            return self.unfinished

        lookup: Callable[[str], object] = self.settings.get
        return LocalPublisher(
            PluginOptions("n-1", self.root / "data", lookup, clock=self.clock, unfinished=unfinished)
        )

    async def publish(self, name: str, size: int = 9 * KB) -> None:
        directory = self.root / "results"
        directory.mkdir(exist_ok=True)
        (directory / "stdout").write_bytes(os.urandom(size))
        await self.publisher.publish(PublishRequest(Execution(id=name), directory))

    def kept(self) -> list[str]:
        return [name.removesuffix(".tar.gz") for name in self.files() if name.endswith(".tar.gz")]

    def files(self) -> list[str]:
        return names(self.root / "data/results/local-publisher")

    def why(self, name: str) -> str:
        record = removal(self.root / "data", name)
        return "" if record is None else record.reason


@pytest.fixture
async def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    assert (await shelf.publisher.probe()).available
    return shelf


async def test_the_oldest_result_makes_room_for_a_new_one_and_the_removal_is_recorded(shelf: Shelf) -> None:
    for name in ("e-1", "e-2", "e-3"):
        await shelf.publish(name)
        shelf.clock.pass_s(2 * HOUR)
    assert shelf.kept() == ["e-2", "e-3"]
    assert shelf.why("e-1") == "local results may take 25 kB (Publishers.Types.Local.Quota)"
    assert (shelf.why("e-2"), shelf.why("e-9")) == ("", "")
    usage = shelf.publisher.usage()
    assert usage.count == 2
    assert usage.limit == 25 * KB
    assert usage.bytes == sum(result_path(shelf.root / "data", name).stat().st_size for name in shelf.kept())
    assert isinstance(shelf.publisher, KeepingPublisher)


async def test_when_all_the_others_are_young_publishing_fails_and_names_the_quota(shelf: Shelf) -> None:
    await shelf.publish("e-1")
    await shelf.publish("e-2")
    with pytest.raises(IOFailure) as caught:
        await shelf.publish("e-3")
    words = (
        r"the results could not be published: 9\.\d kB do not fit into the quota of 25 kB for local results: "
    )
    words += r"those of 2 other executions take 19 kB and can't be removed yet"
    assert re.fullmatch(words, str(caught.value))
    assert "Publishers.Types.Local.Quota" in caught.value.hint
    assert shelf.files() == ["e-1.tar.gz", "e-2.tar.gz"]
    assert shelf.publisher.usage().count == 2


async def test_what_alone_is_larger_than_the_quota_drives_nothing_out(shelf: Shelf) -> None:
    await shelf.publish("e-1")
    shelf.clock.pass_s(2 * HOUR)
    with pytest.raises(IOFailure, match="do not fit into the quota"):
        await shelf.publish("e-2", 40 * KB)
    assert shelf.files() == ["e-1.tar.gz"]


async def test_results_of_a_job_that_is_not_over_stay(shelf: Shelf) -> None:
    for name in ("e-1", "e-2"):
        await shelf.publish(name)
        shelf.clock.pass_s(2 * HOUR)
    shelf.unfinished = {"e-1"}
    await shelf.publish("e-3")
    assert shelf.kept() == ["e-1", "e-3"]


async def test_a_result_that_is_being_read_stays(shelf: Shelf) -> None:
    for name in ("e-1", "e-2"):
        await shelf.publish(name)
        shelf.clock.pass_s(2 * HOUR)
    mark_read(result_path(shelf.root / "data", "e-1"), shelf.clock.now)
    await shelf.publish("e-3")
    assert shelf.kept() == ["e-1", "e-3"]


async def test_results_go_when_they_are_old_and_the_reason_names_the_age(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, MaxAge=10.0 * 24 * HOUR)
    await shelf.publisher.probe()
    await shelf.publish("e-1")
    shelf.clock.pass_s(5 * 24 * HOUR)
    await shelf.publish("e-2")
    await shelf.publisher.tidy()
    assert shelf.kept() == ["e-1", "e-2"]
    shelf.clock.pass_s(6 * 24 * HOUR)
    await shelf.publisher.tidy()
    assert shelf.kept() == ["e-2"]
    assert shelf.why("e-1") == "local results are kept for 10 days (Publishers.Types.Local.MaxAge)"


async def test_publishing_again_does_not_count_twice(shelf: Shelf) -> None:
    for _ in range(4):
        await shelf.publish("e-1")
    assert shelf.publisher.usage().count == 1
    assert shelf.publisher.usage().bytes < 11 * KB


@pytest.mark.parametrize("held_up", ["kept_in", "size_of"])
async def test_what_is_published_while_all_is_counted_counts_once(
    held_up: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_looked, may_go_on = threading.Event(), threading.Event()
    look = getattr(keeper, held_up)

    def slow(place: Path) -> object:
        seen = look(place)
        has_looked.set()
        assert may_go_on.wait(60)
        return seen

    monkeypatch.setattr(keeper, held_up, slow)

    async def count() -> None:
        await shelf.publisher.tidy()

    async def publish() -> None:
        await shelf.publish("e-1")

    first, second = (count, publish) if held_up == "kept_in" else (publish, count)
    one = asyncio.create_task(first())
    await until(has_looked.is_set)
    two = asyncio.create_task(second())
    await until(lambda: shelf.kept() == ["e-1"])
    await lasts(0.2)
    may_go_on.set()
    await asyncio.gather(one, two)
    assert shelf.publisher.usage().count == 1
    assert 9 * KB < shelf.publisher.usage().bytes < 11 * KB


async def test_without_a_quota_everything_stays(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Quota=0)
    await shelf.publisher.probe()
    for number in range(5):
        await shelf.publish(f"e-{number}")
        shelf.clock.pass_s(2 * HOUR)
    assert len(shelf.kept()) == 5
    assert shelf.publisher.usage().limit == 0


async def test_a_restart_counts_what_is_there_and_keeps_to_a_smaller_quota(shelf: Shelf) -> None:
    for name in ("e-1", "e-2"):
        await shelf.publish(name)
        shelf.clock.pass_s(2 * HOUR)
    again = shelf.make()
    assert again.usage() == DiskUsage(limit=25 * KB)
    await again.probe()
    assert again.usage().count == 2
    shelf.settings[QUOTA] = 10 * KB
    await shelf.make().probe()
    assert shelf.kept() == ["e-2"]


def test_the_list_of_removals_is_bounded_and_the_latest_word_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "MOST", 10)
    for number in range(30):
        removals.note(tmp_path, [Removal(f"e-{number}", "2026-11-22T00:00:00Z", "old")])
    assert removals.find(tmp_path, "e-1") is None
    removals.note(tmp_path, [Removal("e-29", "2026-11-23T00:00:00Z", "older")])
    last_removal = removals.find(tmp_path, "e-29")
    assert last_removal is not None
    assert last_removal.reason == "older"
    assert len((tmp_path / removals.FILE).read_bytes().splitlines()) <= 11
    assert names(tmp_path) == [removals.FILE]
    with (tmp_path / removals.FILE).open("ab") as file:
        file.write(b'{"Execution":"e-broken')
    assert removals.find(tmp_path, "e-broken") is None


_RESULTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100), st.integers(0, 100)), max_size=12)


@given(_RESULTS, st.integers(1, 200), st.sets(st.integers(0, 11)))
def test_what_is_chosen_is_enough_never_too_much_and_never_protected(
    facts: list[tuple[int, int, int]], quota: int, busy: set[int]
) -> None:
    kept = [Kept(str(n), size, at * SECOND, read * SECOND) for n, (size, at, read) in enumerate(facts)]
    rules, now_ns = Rules(quota, 0, 30), 120 * SECOND
    unfinished = {str(number) for number in busy}
    chosen = rules.surplus(kept, now_ns, unfinished)
    left = [each for each in kept if each not in chosen]
    assert not any(rules.protects(each, now_ns, unfinished) for each in chosen)
    free = [each for each in left if not rules.protects(each, now_ns, unfinished)]
    assert sum(each.size for each in left) <= quota or not free
    if chosen:
        # Without the last one chosen there would still be too much.
        assert sum(each.size for each in left) + chosen[-1].size > quota
        assert all(each.published_ns >= chosen[-1].published_ns for each in free)
