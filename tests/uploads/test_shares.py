"""What each principal's uploads may take: refused with the sentence, others not touched."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import ResourceExhausted
from bacalhau_jupyter.models.records.uploads import UNKNOWN, BeginUpload
from bacalhau_jupyter.uploads.drafts import Draft
from bacalhau_jupyter.uploads.store import FRESH_S, UploadStore
from bacalhau_jupyter.uploads.under_way import IDLE_S
from tests.clock import ManualClock
from tests.uploads.test_store import send

LIMIT = 1000
ANN, BOB = "user:ann", "user:bob"


async def opened(root: Path, clock: ManualClock | None = None) -> UploadStore:
    """A store without a quota in all, in which ann has one of her own."""
    store = UploadStore(
        root,
        0,
        min_free=0,
        clock=clock or ManualClock(),
        free=lambda path: 1 << 40,
        limit_of=lambda owner: LIMIT if owner == ANN else None,
    )
    await store.start()
    return store


def data(letter: str, size: int) -> bytes:
    return letter.encode() * size


async def test_what_does_not_fit_is_refused_with_the_numbers_and_others_still_upload(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await send(store, data("a", 700), ANN)
    with pytest.raises(ResourceExhausted) as caught:
        await store.begin(ANN, BeginUpload(name="big.bin", size=400))
    assert caught.value.message == (
        "your quota has no room for the upload big.bin (400 B): your uploads may take 1.0 kB, "
        "and 700 B are being uploaded or in use"
    )
    assert "API.Quotas" in caught.value.hint
    await send(store, data("b", 5000), BOB)
    assert isinstance(await store.begin(ANN, BeginUpload(name="fits.bin", size=300)), Draft)


async def test_what_is_announced_counts(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.begin(ANN, BeginUpload(name="x", size=800))
    with pytest.raises(ResourceExhausted):
        await store.begin(ANN, BeginUpload(name="y", size=300))


async def test_drafts_that_nobody_goes_on_with_make_room(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, clock)
    await store.begin(ANN, BeginUpload(name="x", size=800))
    clock.advance(10 * 365 * 24 * 3600 + IDLE_S)
    assert isinstance(await store.begin(ANN, BeginUpload(name="y", size=300)), Draft)


async def test_ones_own_longest_unused_content_goes_and_nobody_elses(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, clock)
    theirs = await send(store, data("b", 5000), BOB)
    shared = await send(store, data("s", 300), ANN)
    await send(store, data("s", 300), BOB)
    old = await send(store, data("o", 300), ANN)
    used = await send(store, data("u", 300), ANN)
    clock.advance(FRESH_S + 1)

    async def referred() -> Collection[str]:
        return [used.sha256]

    store.referred = referred
    await send(store, data("n", 300), ANN)
    there = [store.look_up(kept.sha256) is not None for kept in (theirs, shared, old, used)]
    assert there == [True, True, False, True]


async def test_a_file_of_unknown_size_is_judged_when_it_is_complete(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    draft = await store.begin(ANN, BeginUpload(name="x", size=UNKNOWN, local=True))
    assert isinstance(draft, Draft)
    store.file(draft).write_bytes(data("x", LIMIT + 1))
    with pytest.raises(ResourceExhausted, match=r"no room for the upload x: your uploads may take 1\.0 kB"):
        await store.finish(draft)
    assert list((tmp_path / "drafts").iterdir()) == []


async def test_the_account_is_the_same_after_a_restart(tmp_path: Path) -> None:
    kept = await send(await opened(tmp_path), data("a", 700), ANN)
    store = await opened(tmp_path)

    async def referred() -> Collection[str]:
        return [kept.sha256]

    store.referred = referred
    with pytest.raises(ResourceExhausted):
        await store.begin(ANN, BeginUpload(name="y", size=400))
