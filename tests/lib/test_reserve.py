"""Room that is kept for a full disk, on a real one."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.database import Database, DatabaseError
from bacalhau_jupyter.lib.reserve import LARGEST, SMALLEST, Reserve, fitting, is_full
from tests.transfer.helpers import small_disk

TABLE = ("CREATE TABLE notes (text TEXT)",)


def fill(place: Path) -> None:
    """Take the last byte, as a job would."""
    with (place / "filling").open("ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


def note(text: str):
    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES (?)", (text,))

    return write


def test_a_share_of_the_disk_is_kept_within_bounds() -> None:
    assert fitting(40 << 20) == 655_360
    assert fitting(10**12) == LARGEST
    assert fitting(0) == SMALLEST


def test_both_kinds_of_full_are_known() -> None:
    assert is_full(OSError(errno.ENOSPC, ""))
    assert is_full(OSError(errno.EDQUOT, ""))
    assert is_full(DatabaseError("", full=True))
    assert not is_full(DatabaseError(""))
    assert not is_full(OSError(errno.EIO, ""))


def test_room_is_kept_given_back_once_and_taken_again_when_there_is_some(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        reserve = Reserve(disk / "reserve", 300_000)
        assert reserve.spent
        assert reserve.make()
        fill(disk)
        assert reserve.lacks_room()
        assert reserve.give_back()
        assert not reserve.give_back()
        (disk / "needed").write_bytes(bytes(200_000))
        assert not reserve.make()
        (disk / "filling").unlink()
        assert reserve.make()
        assert not reserve.spent
        assert (disk / "reserve").stat().st_blocks * 512 >= 300_000


def test_a_reserve_of_an_earlier_start_is_taken_over(tmp_path: Path) -> None:
    assert Reserve(tmp_path / "reserve", 1000).make()
    again = Reserve(tmp_path / "reserve", 1000)
    assert again.make()
    assert again.give_back()


@pytest.mark.parametrize("is_remote", [False, True])
async def test_a_full_disk_is_seen_at_once_with_and_without_a_thread(tmp_path: Path, is_remote: bool) -> None:
    with small_disk(tmp_path / "disk") as disk:
        reserve = Reserve(disk / "reserve", 300_000, is_remote=is_remote)
        assert await reserve.kept()
        assert not await reserve.found_lacking()
        fill(disk)
        assert not await reserve.kept()
        assert await reserve.found_lacking()
        (disk / "filling").unlink()
        (disk / "reserve").unlink()
        assert await reserve.kept()
        assert (disk / "reserve").stat().st_size == 300_000


async def test_a_database_with_a_reserve_writes_on_a_disk_without_a_free_byte(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        database = await Database.open(disk / "db", TABLE, reserve=1_000_000)
        fill(disk)
        for number in range(400):
            await database.write(note(f"{number} " + "x" * 1000))
        assert await database.read(lambda c: c.execute("SELECT count(*) FROM notes").fetchone()) == (400,)
        await database.close()


async def test_one_without_can_not(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        database = await Database.open(disk / "db", TABLE)
        fill(disk)
        with pytest.raises(DatabaseError) as caught:
            for number in range(400):
                await database.write(note(f"{number} " + "x" * 1000))
        assert caught.value.full
        await database.close()


async def test_a_database_that_finds_no_room_inside_asks_for_some_outside(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        reserve = Reserve(disk / "reserve", 1_500_000)
        assert reserve.make()
        database = await Database.open(disk / "db", TABLE, make_room=reserve.give_back)
        fill(disk)
        for number in range(100):
            await database.write(note(f"{number} " + "x" * 1000))
        assert reserve.spent
        await database.close()


async def test_what_was_used_of_a_reserve_is_filled_up_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        database = await Database.open(disk / "db", TABLE, reserve=1_000_000)
        fill(disk)
        for number in range(600):
            await database.write(note(f"{number} " + "x" * 1000))
        assert not await database.replenish()
        (disk / "filling").unlink()
        assert await database.replenish()
        free = await database.read(lambda c: c.execute("PRAGMA freelist_count").fetchone()[0])
        assert free * 4096 >= 750_000
        fill(disk)
        for number in range(400):
            await database.write(note(f"{number} " + "x" * 1000))
        await database.close()
