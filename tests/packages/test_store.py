"""The node's store of packages: what becomes a set, what stays, and what goes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, IOFailure, NotFound, ResourceExhausted
from bacalhau_jupyter.models.records.packages import KeepPackages, PackagesState
from bacalhau_jupyter.packages.store import (
    ABANDONED_S,
    DRAFT_AGE_S,
    FRESH_S,
    MAX_DRAFTS,
    NAMED_S,
    Limits,
    PackageStore,
)
from tests.clock import ManualClock

REQUEST = "ab" * 32


def store_of(
    root: Path,
    *,
    quota: int = 0,
    free: int = 1 << 40,
    clock: ManualClock | None = None,
    renew_s: float = 3600.0,
) -> PackageStore:
    limits = Limits(quota=quota, renew_after_s=renew_s, min_free=1000)
    store = PackageStore(root, limits, clock=clock or ManualClock(), free=lambda path: free)
    store.open()
    return store


def fill(draft: PackagesState, size: int = 10, name: str = "good") -> KeepPackages:
    site = Path(draft.directory)
    site.mkdir()
    (site / f"{name}.py").write_bytes(b"#" * size)
    return KeepPackages(request=REQUEST, target="CPython", locked=[f"{name}==1.0 --hash=sha256:0"])


def kept(store: PackageStore, name: str = "good", size: int = 10, request: str = REQUEST) -> PackagesState:
    draft = store.find(request)
    assert draft.draft
    order = fill(draft, size, name)
    return store.keep(
        draft.draft, KeepPackages(request=request, target=order.target, locked=order.locked), ()
    )


def test_a_draft_becomes_a_set_that_the_same_request_finds(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    made = kept(store)
    again = store.find(REQUEST)
    site = store.site(made.set)
    assert again.set == made.set and not again.draft and again.distributions == ["good==1.0"]
    assert site is not None and (site / "good.py").read_bytes() == b"#" * 10
    assert not any((tmp_path / "drafts").iterdir())


def test_everybody_may_read_a_set_and_nobody_write_to_it(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    draft = store.find(REQUEST)
    order = fill(draft)
    tool = Path(draft.directory) / "bin" / "tool"
    tool.parent.mkdir(mode=0o700)
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o4700)
    site = store.site(store.keep(draft.draft, order, ()).set)
    assert site is not None
    assert (site / "good.py").stat().st_mode & 0o7777 == 0o444
    assert (site / "bin" / "tool").stat().st_mode & 0o7777 == 0o555
    assert (site / "bin").stat().st_mode & 0o777 == 0o755


def test_a_set_is_named_by_its_content_lock_and_target(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    names = {
        kept(store, "good", 10, "aa").set,
        kept(store, "good", 11, "bb").set,
        kept(store, "other", 10, "cc").set,
    }
    assert len(names) == 3 and kept(store, "good", 10, "dd").set in names


def test_a_request_is_resolved_again_after_its_time(tmp_path: Path) -> None:
    clock = ManualClock()
    store = store_of(tmp_path, clock=clock, renew_s=60.0)
    made = kept(store)
    clock.advance(59.0)
    assert store.find(REQUEST).set == made.set
    clock.advance(2.0)
    assert store.find(REQUEST).draft


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    made = kept(store_of(tmp_path))
    again = store_of(tmp_path)
    assert again.find(REQUEST).set == made.set and again.usage().count == 1


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_draft_with_something_else_than_files_is_refused(tmp_path: Path, kind: str) -> None:
    store = store_of(tmp_path)
    draft = store.find(REQUEST)
    order = fill(draft)
    odd = Path(draft.directory) / "odd"
    if kind == "link":
        odd.symlink_to("/etc")
    else:
        os.mkfifo(odd)
    with pytest.raises(BadRequest, match="plain files only, and odd is not one"):
        store.keep(draft.draft, order, ())
    assert store.usage().count == 0 and not Path(draft.directory).exists()


def test_a_draft_that_is_too_large_is_refused_and_gone(tmp_path: Path) -> None:
    store = store_of(tmp_path, quota=1000)
    draft = store.find(REQUEST)
    order = fill(draft, 2000)
    with pytest.raises(ResourceExhausted):
        store.keep(draft.draft, order, ())
    assert not Path(draft.directory).exists()


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(IOFailure, match="no room") as refused:
        store_of(tmp_path, free=500).find(REQUEST)
    assert refused.value.status == 507


@pytest.mark.parametrize("draft", ["", ".", "..", "../sets", "nothing", "a/b", "x" * 200])
def test_a_draft_that_is_not_there_is_not_found(tmp_path: Path, draft: str) -> None:
    store = store_of(tmp_path)
    kept(store)
    for work in (lambda: store.drop(draft), lambda: store.keep(draft, KeepPackages(request=REQUEST), ())):
        with pytest.raises(NotFound):
            work()
    assert (tmp_path / "sets").is_dir()


@pytest.mark.parametrize("request_name", ["", "..", "../x", "XYZ", "ab" * 40, "a\0"])
def test_a_request_that_is_no_hash_is_refused(tmp_path: Path, request_name: str) -> None:
    with pytest.raises(BadRequest):
        store_of(tmp_path).find(request_name)


def test_the_longest_unused_set_goes_first_when_the_quota_is_full(tmp_path: Path) -> None:
    clock = ManualClock()
    store = store_of(tmp_path, quota=2500, clock=clock)
    first = kept(store, "first", 1000, "aa")
    clock.advance(FRESH_S + 1)
    second = kept(store, "second", 1000, "bb")
    clock.advance(FRESH_S + 1)
    assert store.find("aa").set == first.set
    third = kept(store, "third", 1000, "cc")
    assert [store.site(each.set) is not None for each in (first, second, third)] == [True, False, True]
    assert store.find("bb").draft


def test_a_set_that_a_job_uses_stays_until_the_job_is_over(tmp_path: Path) -> None:
    clock = ManualClock()
    store = store_of(tmp_path, quota=1500, clock=clock)
    used = kept(store, "used", 1000, "aa")
    store.note_use(used.set, "e-1")
    clock.advance(FRESH_S + 1)
    draft = store.find("bb")
    store.keep(draft.draft, fill(draft, 1000, "other"), {"e-1"})
    assert store.site(used.set) is not None
    assert store.clear({"e-1"}).count == 0, "one is used, the other one was just made"
    clock.advance(NAMED_S + 1)
    assert store.clear({"e-1"}).count == 1 and store.site(used.set) is not None
    assert store.clear(()).count == 1 and store.site(used.set) is None


def test_downloads_go_before_sets_do_but_not_while_something_is_fetched(tmp_path: Path) -> None:
    store = store_of(tmp_path, quota=3000)
    draft = store.find("aa")
    download = Path(draft.cache) / "wheel"
    download.write_bytes(bytes(2500))
    store.keep(draft.draft, fill(draft, 1000), ())
    assert not download.exists() and store.usage().bytes < 3000
    waiting = store.find("bb")
    second = store.find("cc")
    download.parent.mkdir(exist_ok=True)
    download.write_bytes(bytes(2500))
    store.keep(second.draft, fill(second, 900, "second"), ())
    assert download.exists() and waiting.draft


def test_files_that_sets_and_downloads_share_are_counted_once(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    draft = store.find(REQUEST)
    order = fill(draft, 100_000)
    os.link(Path(draft.directory) / "good.py", Path(draft.cache) / "good.py")
    store.keep(draft.draft, order, ())
    assert 100_000 < store.usage().bytes < 102_000


def test_two_programs_that_make_the_same_set_both_get_it(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    drafts = [store.find(REQUEST), store.find(REQUEST)]
    orders = [fill(draft, 100_000) for draft in drafts]
    made: list[PackagesState] = []
    threads = [
        threading.Thread(target=lambda d=draft, o=order: made.append(store.keep(d.draft, o, ())))
        for draft, order in zip(drafts, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.set for each in made}) == 1 and len(made) == 2 and store.usage().count == 1


def test_a_draft_that_nobody_finished_goes_after_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    store = store_of(tmp_path, clock=clock)
    draft = store.find(REQUEST)
    now_s = clock.now_ns() / SECOND
    os.utime(Path(draft.directory).parent, (now_s, now_s))
    store_of(tmp_path, clock=clock)
    assert Path(draft.directory).parent.exists()
    clock.advance(DRAFT_AGE_S + 1)
    store_of(tmp_path, clock=clock)
    assert not Path(draft.directory).parent.exists()


def test_a_job_can_only_use_a_set_that_is_there(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    made = kept(store)
    store.note_use(made.set, "e-1")
    for name, execution in (("0" * 64, "e-1"), (made.set, "../../x"), (made.set, "")):
        with pytest.raises(BacalhauError):
            store.note_use(name, execution)
    for name in ("", "..", made.set[:12], made.set.upper(), f"{made.set}/..", "../drafts"):
        assert store.site(name) is None


def test_drafts_that_were_left_behind_make_room_when_there_are_too_many(tmp_path: Path) -> None:
    clock = ManualClock()
    store = store_of(tmp_path, clock=clock)
    now_s = clock.now_ns() / SECOND
    for _ in range(MAX_DRAFTS):
        os.utime(tmp_path / "drafts" / store.find(REQUEST).draft, (now_s, now_s))
    with pytest.raises(ResourceExhausted, match="are being fetched already"):
        store.find(REQUEST)
    clock.advance(ABANDONED_S + 1)
    assert store.find(REQUEST).draft


def test_a_draft_into_which_nothing_was_put_is_the_callers_mistake(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    draft = store.find(REQUEST).draft
    with pytest.raises(BadRequest, match="holds no packages"):
        store.keep(draft, KeepPackages(request=REQUEST), ())
    assert not any((tmp_path / "drafts").iterdir())
