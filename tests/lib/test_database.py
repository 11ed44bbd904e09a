from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.database import Database, DatabaseError
from tests.services.waiting import until

TABLE = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)"


def add(value: object) -> Callable[[sqlite3.Connection], int]:
    def run(connection: sqlite3.Connection) -> int:
        return connection.execute("INSERT INTO t (b) VALUES (?)", (value,)).lastrowid or 0

    return run


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


async def test_writes_that_queue_up_share_commits(tmp_path: Path) -> None:
    commits = []
    database = await Database.open(tmp_path / "d", [TABLE], fault=lambda p: commits.append(p))
    results = await asyncio.gather(*(database.write(add("x")) for _ in range(500)))
    assert sorted(results) == list(range(1, 501))
    assert commits.count("commit") < 50
    assert await database.read(count) == 500
    await database.close()


async def test_a_file_whose_opening_is_cancelled_is_not_kept_locked(tmp_path: Path) -> None:
    is_opening, may_go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        is_opening.set()
        assert may_go_on.wait(60)
        connection.execute(TABLE)

    opening = asyncio.create_task(Database.open(tmp_path / "d", [slow]))
    await until(is_opening.is_set)
    opening.cancel()
    asyncio.get_running_loop().call_later(0.05, may_go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await opening
    may_go_on.set()
    database = await Database.open(tmp_path / "d", [TABLE])
    assert await database.write(add("x")) == 1
    await database.close()


async def test_a_write_that_raises_is_undone_and_its_neighbours_are_kept() -> None:
    def bad(connection: sqlite3.Connection) -> None:
        add("lost")(connection)
        raise KeyError("no")

    database = await Database.open(None, [TABLE])
    writes = [database.write(bad if number % 5 == 0 else add("kept")) for number in range(50)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(result, KeyError) for result in results) == 10
    assert await database.read(lambda c: c.execute("SELECT DISTINCT b FROM t").fetchall()) == [("kept",)]
    assert await database.read(count) == 40
    await database.close()


async def test_then_is_called_in_commit_order_even_for_a_waiter_that_was_cancelled() -> None:
    database = await Database.open(None, [TABLE])
    counts: list[int] = []
    tasks = [asyncio.create_task(database.write(add("x"), counts.append)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert counts == list(range(1, 21))
    await database.close()


async def test_a_small_database_keeps_the_same_promises_without_a_thread() -> None:
    def bad(connection: sqlite3.Connection) -> None:
        add("lost")(connection)
        raise KeyError("no")

    before = threading.active_count()
    database = Database.small([TABLE])
    counts: list[int] = []
    tasks = [asyncio.create_task(database.write(add("kept"), counts.append)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert counts == list(range(1, 21))
    with pytest.raises(KeyError):
        await database.write(bad)
    with pytest.raises(DatabaseError):
        await database.read(lambda c: c.execute("SELECT nothing FROM t"))
    assert await database.read(count) == 20
    assert await database.replenish()
    assert threading.active_count() == before
    await database.close()
    with pytest.raises(DatabaseError):
        await database.read(count)


async def test_a_commit_that_fails_fails_those_writes_only() -> None:
    broken = False

    def fault(point: str) -> None:
        if broken and point == "commit":
            raise sqlite3.OperationalError("disk I/O error")

    database = await Database.open(None, [TABLE], fault=fault)
    await database.write(add("before"))
    broken = True
    results = await asyncio.gather(*(database.write(add("x")) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, DatabaseError) for result in results)
    assert "disk I/O error" in str(results[0])
    broken = False
    await database.write(add("after"))
    assert await database.read(count) == 2
    await database.close()


@pytest.mark.parametrize("journal", ["wal", "delete"])
async def test_both_journals_keep_what_was_written(tmp_path: Path, journal: str) -> None:
    for expected in (0, 1):
        database = await Database.open(tmp_path / "d", [TABLE], journal)  # type: ignore[arg-type]
        assert await database.read(count) == expected
        mode = await database.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()[0])
        assert mode == journal
        assert await database.read(lambda c: c.execute("PRAGMA synchronous").fetchone()[0]) >= 2
        await database.write(add("x"))
        await database.close()


async def test_a_second_opener_is_refused_in_one_sentence(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d", [TABLE])
    with pytest.raises(DatabaseError, match="can't be opened: database is locked"):
        await Database.open(tmp_path / "d", [TABLE])
    await database.close()


async def test_migrations_run_once_each_and_a_failing_one_leaves_nothing(tmp_path: Path) -> None:
    def second(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE t ADD COLUMN c TEXT")

    first = await Database.open(tmp_path / "d", [TABLE])
    await first.write(add("old"))
    await first.close()
    with pytest.raises(DatabaseError):
        await Database.open(tmp_path / "d", [TABLE, second, "CREATE TABLE u (a); CREATE TABLE t (oops)"])
    database = await Database.open(tmp_path / "d", [TABLE, second])
    assert await database.read(lambda c: c.execute("SELECT * FROM t").fetchall()) == [(1, "old", None)]
    tables = await database.read(lambda c: c.execute("SELECT name FROM sqlite_master").fetchall())
    assert tables == [("t",)]
    await database.close()


async def test_a_newer_schema_is_refused_in_one_sentence(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d", [TABLE, "SELECT 1"])
    await database.close()
    with pytest.raises(DatabaseError, match="has schema version 2, newer than this program's 1"):
        await Database.open(tmp_path / "d", [TABLE])


async def test_a_closed_database_raises_an_error_with_that_reason(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "d", [TABLE])
    await database.close()
    await database.close()
    with pytest.raises(DatabaseError, match="closed"):
        await database.write(add("x"))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a file system")
async def test_a_full_disk_fails_the_write_and_the_database_lives(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a file system here: {mounted.stderr.strip()}")
    try:
        (tmp_path / "ballast").write_bytes(b"x" * 500_000)
        database = await Database.open(tmp_path / "d", [TABLE])
        await database.write(add("small"))
        with pytest.raises(DatabaseError, match="the disk is full") as caught:
            for _ in range(10):
                await database.write(add("x" * 500_000))
        assert caught.value.full
        before = await database.read(count)
        (tmp_path / "ballast").unlink()
        await database.write(add("small again"))
        assert await database.read(count) == before + 1
        await database.close()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=False)


async def test_a_file_size_limit_fails_the_write_and_the_database_lives(tmp_path: Path) -> None:
    # A full disk for those who may not mount: a limit on file size gives the same kind of error.
    program = """
import asyncio, resource, signal, sys
from pathlib import Path
from bacalhau_jupyter.lib.database import Database, DatabaseError
async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    database = await Database.open(Path(sys.argv[1]), ["CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    put = lambda text: (lambda c: c.execute("INSERT INTO t (b) VALUES (?)", (text,)).lastrowid)
    try:
        for _ in range(20):
            await database.write(put("x" * 50_000))
    except DatabaseError as error:
        print("refused", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await database.write(put("small"))
    print("alive", await database.read(lambda c: c.execute("SELECT b FROM t ORDER BY a DESC").fetchone()[0]))
    await database.close()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "d"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert "refused" in out.decode()
    assert "alive small" in out.decode()
