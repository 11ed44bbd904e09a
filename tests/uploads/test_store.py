from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BadRequest, Conflict, IOFailure, NotFound, ResourceExhausted
from bacalhau_jupyter.models.records.uploads import UNKNOWN, BeginUpload
from bacalhau_jupyter.uploads.drafts import Draft
from bacalhau_jupyter.uploads.orders import Kept
from bacalhau_jupyter.uploads.store import FRESH_S, UploadStore
from bacalhau_jupyter.uploads.under_way import DRAFT_AGE_S, IDLE_S, MAX_DRAFTS_OF_ONE
from tests.clock import ManualClock
from tests.transfer.helpers import small_disk

DATA = b"some content" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


async def opened(
    root: Path, quota: int = 0, clock: ManualClock | None = None, free: int = 1 << 40
) -> UploadStore:
    store = UploadStore(root, quota, min_free=0, clock=clock or ManualClock(), free=lambda path: free)
    await store.start()
    return store


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def send(
    store: UploadStore, data: bytes, owner: str = "ann", name: str = "x.bin", sha256: str = ""
) -> Kept:
    draft = await store.begin(owner, BeginUpload(name=name, size=len(data), sha256=sha256))
    assert isinstance(draft, Draft)
    await store.append(draft, 0, pieces(data))
    return await store.finish(draft)


def drafts(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "drafts").iterdir())


async def test_what_was_sent_is_kept_under_the_hash_of_what_was_stored(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    kept = await send(store, DATA)
    file = store.open_content(SHA)
    assert kept == Kept(SHA, "x.bin", len(DATA))
    assert file is not None and file.read_bytes() == DATA and file.stat().st_mode & 0o222 == 0
    assert drafts(tmp_path) == []


async def test_an_upload_goes_on_where_it_broke_off_also_after_a_restart(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    order = BeginUpload(name="x.bin", size=len(DATA), sha256=SHA)
    draft = await store.begin("ann", order)
    assert isinstance(draft, Draft)

    async def cut() -> AsyncIterator[bytes]:
        yield DATA[:5000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.append(draft, 0, cut())
    store = await opened(tmp_path)
    again = await store.begin("ann", order)
    assert isinstance(again, Draft) and again.id == draft.id and await store.offset(again) == 5000
    await store.append(again, 5000, pieces(DATA[5000:]))
    assert (await store.finish(again)).sha256 == SHA


async def test_bytes_that_do_not_go_on_where_the_draft_ends_are_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    draft = await store.begin("ann", BeginUpload(name="x", size=100))
    assert isinstance(draft, Draft)
    with pytest.raises(Conflict, match="goes on at byte 0, not 7"):
        await store.append(draft, 7, pieces(b"x"))


async def test_more_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    draft = await store.begin("ann", BeginUpload(name="x", size=3))
    assert isinstance(draft, Draft)
    with pytest.raises(BadRequest, match="more bytes"):
        await store.append(draft, 0, pieces(b"ab", b"cd"))
    assert await store.offset(draft) == 2


async def test_another_hash_than_announced_leaves_nothing_behind(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    with pytest.raises(BadRequest, match="was announced"):
        await send(store, DATA, sha256="0" * 64)
    assert drafts(tmp_path) == [] and store.usage().count == 0


async def test_only_who_uploaded_a_content_skips_its_upload(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await send(store, DATA, "ann")
    order = BeginUpload(name="y", size=len(DATA), sha256=SHA)
    assert isinstance(await store.begin("ann", order), Kept)
    draft = await store.begin("bob", order)
    assert isinstance(draft, Draft) and await store.offset(draft) == 0


async def test_after_sending_it_himself_another_skips_it_too_and_it_is_there_once(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await send(store, DATA, "ann")
    await send(store, DATA, "bob")
    assert isinstance(await store.begin("bob", BeginUpload(name="y", size=len(DATA), sha256=SHA)), Kept)
    assert store.usage().count == 1 and store.usage().bytes == len(DATA)


async def test_a_draft_is_its_owners_alone(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    draft = await store.begin("ann", BeginUpload(name="x", size=3))
    assert isinstance(draft, Draft)
    with pytest.raises(NotFound):
        store.draft("bob", draft.id)


async def test_two_that_send_the_same_at_once_get_a_draft_each(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    order = BeginUpload(name="x", size=len(DATA), sha256=SHA)
    first = await store.begin("ann", order)
    assert isinstance(first, Draft)
    seen: list[Draft | Kept] = []

    async def meanwhile() -> AsyncIterator[bytes]:
        yield DATA[:100]
        seen.append(await store.begin("ann", order))
        yield DATA[100:]

    await store.append(first, 0, meanwhile())
    second = seen[0]
    assert isinstance(second, Draft) and second.id != first.id
    await store.append(second, 0, pieces(DATA))
    assert (await store.finish(first)).sha256 == (await store.finish(second)).sha256 == SHA
    assert store.usage().count == 1


async def test_the_longest_unused_content_makes_room(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, quota=2500, clock=clock)
    old, used = await send(store, b"a" * 1000), await send(store, b"b" * 1000)
    clock.advance(FRESH_S + 1)
    store.open_content(used.sha256)
    await send(store, b"c" * 1000)
    assert store.look_up(old.sha256) is None and store.look_up(used.sha256) is not None
    assert not (tmp_path / "contents" / old.sha256).exists()


async def test_what_an_unfinished_job_refers_to_stays_and_the_error_names_the_quota(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, quota=1500, clock=clock)
    kept = await send(store, b"a" * 1000)
    clock.advance(FRESH_S + 1)

    async def referred() -> Collection[str]:
        return {kept.sha256}

    store.referred = referred
    with pytest.raises(ResourceExhausted, match=r"no room for the upload x\.bin"):
        await send(store, b"b" * 1000)
    assert store.look_up(kept.sha256) is not None and drafts(tmp_path) == []


async def test_what_was_just_uploaded_stays_until_its_job_is_there(tmp_path: Path) -> None:
    store = await opened(tmp_path, quota=1500)
    await send(store, b"a" * 1000)
    with pytest.raises(ResourceExhausted):
        await send(store, b"b" * 1000)


async def test_after_its_job_was_stored_a_content_may_go(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, quota=1500, clock=clock)
    first = await send(store, b"a" * 1000)
    store.named(first.sha256)
    clock.advance(60)
    await send(store, b"b" * 1000)
    assert store.look_up(first.sha256) is None


async def test_a_draft_without_a_byte_for_a_day_goes(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, clock=clock)
    draft = await store.begin("ann", BeginUpload(name="x", size=3))
    assert isinstance(draft, Draft)
    os.utime(store.file(draft), ns=(0, clock.now_ns()))
    clock.advance(DRAFT_AGE_S + 1)
    await store.tidy()
    assert drafts(tmp_path) == []


async def test_a_full_disk_is_an_error_of_its_own(tmp_path: Path) -> None:
    store = await opened(tmp_path, free=10)
    with pytest.raises(IOFailure, match="no room on the node's disk") as caught:
        await store.begin("ann", BeginUpload(name="x", size=100))
    assert caught.value.status == 507


async def test_a_disk_that_runs_full_in_the_middle_leaves_no_draft(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        store = await opened(disk)
        draft = await store.begin("ann", BeginUpload(name="x", size=9_000_000))
        assert isinstance(draft, Draft)
        with pytest.raises(IOFailure, match="no room on the node's disk") as caught:
            await store.append(draft, 0, pieces(*[bytes(1 << 20)] * 9))
        assert caught.value.status == 507 and drafts(disk) == []


async def test_a_content_that_somebody_wrote_to_is_not_used_any_more(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await send(store, DATA)
    file = tmp_path / "contents" / SHA / "content"
    file.chmod(0o644)
    file.write_bytes(b"X" + DATA[1:])
    # Many kernels count times in steps of 4 ms, and both may have been written in the same one.
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000_000))
    assert store.open_content(SHA) is None
    assert isinstance(await store.begin("ann", BeginUpload(name="x", size=len(DATA), sha256=SHA)), Draft)


async def test_contents_outlive_a_restart_with_their_owners(tmp_path: Path) -> None:
    await send(await opened(tmp_path), DATA, "ann")
    store = await opened(tmp_path)
    assert isinstance(await store.begin("ann", BeginUpload(name="x", size=len(DATA), sha256=SHA)), Kept)


async def test_after_a_boot_a_content_is_hashed_once_before_it_is_used(tmp_path: Path) -> None:
    await send(await opened(tmp_path), DATA, "ann")
    place = tmp_path / "contents" / SHA
    about = (place / "about.json").read_bytes()
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    (place / "about.json").write_bytes(about.replace(boot, b"another"))
    changed = (place / "content").stat().st_mtime_ns
    (place / "content").chmod(0o644)
    (place / "content").write_bytes(bytes(len(DATA)))  # what a power cut leaves
    os.utime(place / "content", ns=(changed, changed))
    assert (await opened(tmp_path)).open_content(SHA) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\nb", "x" * 256, "\udcff"])
async def test_a_name_that_is_a_path_or_no_text_is_refused(tmp_path: Path, name: str) -> None:
    store = await opened(tmp_path)
    with pytest.raises(BadRequest, match="can't be called"):
        await store.begin("ann", BeginUpload(name=name, size=1))


# ---- written to the disk by the sender himself


async def local(store: UploadStore, data: bytes, size: int = UNKNOWN) -> Draft:
    draft = await store.begin("ann", BeginUpload(name="x", size=size, local=True))
    assert isinstance(draft, Draft)
    store.file(draft).write_bytes(data)
    return draft


async def test_a_file_that_its_sender_wrote_becomes_content_without_a_copy(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    draft = await local(store, DATA)
    inode = store.file(draft).stat().st_ino
    kept = await store.finish(draft)
    file = store.open_content(kept.sha256)
    assert kept.sha256 == SHA and file is not None and file.stat().st_ino == inode


async def test_a_file_that_is_still_open_for_writing_is_not_taken(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    draft = await local(store, DATA)
    with store.file(draft).open("ab"), pytest.raises(Conflict, match="still open for writing"):
        await store.finish(draft)
    assert store.usage().count == 0


async def test_a_link_in_place_of_the_file_is_not_taken(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    store = await opened(tmp_path / "uploads")
    draft = await local(store, b"")
    store.file(draft).unlink()
    store.file(draft).symlink_to(secret)
    with pytest.raises(BadRequest, match="not a file that the node's own user wrote"):
        await store.finish(draft)


async def test_a_hard_link_in_place_of_the_file_is_not_taken(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(DATA)
    store = await opened(tmp_path / "uploads")
    draft = await local(store, b"")
    store.file(draft).unlink()
    store.file(draft).hardlink_to(theirs)
    with pytest.raises(BadRequest, match="not a file that the node's own user wrote"):
        await store.finish(draft)
    assert theirs.stat().st_mode & 0o200


async def test_a_file_beyond_the_quota_goes_when_it_is_complete(tmp_path: Path) -> None:
    store = await opened(tmp_path, quota=1000)
    draft = await local(store, DATA)
    with pytest.raises(ResourceExhausted):
        await store.finish(draft)
    assert drafts(tmp_path) == []


async def test_clearing_leaves_what_unfinished_jobs_refer_to(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    kept, other = await send(store, DATA), await send(store, b"other")

    async def referred() -> Collection[str]:
        return {kept.sha256}

    store.referred = referred
    gone = await store.clear()
    assert (gone.count, gone.bytes) == (1, 5) and store.look_up(other.sha256) is None
    assert store.look_up(kept.sha256) is not None


async def test_what_a_finished_job_refers_to_goes_last_and_makes_room_when_nothing_else_is_left(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, 3 * len(DATA), clock)
    kept = []
    for number in range(3):
        kept.append(await send(store, bytes([number]) * len(DATA)))
        clock.advance(FRESH_S + 1)

    async def repeatable() -> Collection[str]:
        return (kept[0].sha256,)

    store.repeatable = repeatable
    there = []
    for number in range(3, 6):
        await send(store, bytes([number]) * len(DATA))
        clock.advance(FRESH_S + 1)
        there.append(store.look_up(kept[0].sha256) is not None)
    # The two that no job needs went before it, though it is the longest unused.
    assert store.look_up(kept[1].sha256) is None and store.look_up(kept[2].sha256) is None
    assert there == [True, True, True]
    await send(store, b"x" * (3 * len(DATA)))
    assert store.look_up(kept[0].sha256) is None


async def idle(store: UploadStore, clock: ManualClock, owner: str, size: int = 1) -> Draft:
    draft = await store.begin(owner, BeginUpload(name="x", size=size))
    assert isinstance(draft, Draft)
    now_s = clock.now_ns() / 1e9
    os.utime(store.file(draft), (now_s, now_s))
    return draft


async def test_one_caller_can_not_take_every_place_and_others_upload(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, clock=clock)
    for _ in range(MAX_DRAFTS_OF_ONE):
        await idle(store, clock, "mallory")
    with pytest.raises(ResourceExhausted, match="32 uploads of yours are under way"):
        await store.begin("mallory", BeginUpload(name="x", size=1))
    assert (await send(store, DATA, owner="ann")).sha256 == SHA


async def test_idle_drafts_make_room_when_all_places_are_taken_and_busy_ones_stay(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, clock=clock)
    old = [await idle(store, clock, owner) for owner in ("m1", "m2") for _ in range(MAX_DRAFTS_OF_ONE - 1)]
    clock.advance(IDLE_S + 1)
    fresh = [await idle(store, clock, owner) for owner in ("m1", "m2")]
    assert (await send(store, DATA, owner="ann")).sha256 == SHA
    for draft in fresh:
        assert store.draft(draft.owner, draft.id) == draft
    with pytest.raises(NotFound):
        store.draft(old[0].owner, old[0].id)


async def test_a_size_that_is_only_announced_keeps_no_room_from_others_for_long(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await opened(tmp_path, quota=len(DATA), clock=clock)
    await idle(store, clock, "mallory", size=len(DATA))
    with pytest.raises(ResourceExhausted, match="there is no room"):
        await store.begin("ann", BeginUpload(name="x", size=len(DATA)))
    clock.advance(IDLE_S + 1)
    assert (await send(store, DATA, owner="ann")).sha256 == SHA
