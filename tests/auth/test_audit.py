"""The audit log itself: lines, files, repeats, and disks that do not take them."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
from pathlib import Path

import pytest

from bacalhau_jupyter.auth.audit.entries import Entry, Origin, Outcome, Subject, origin_of
from bacalhau_jupyter.auth.audit.files import AuditFile
from bacalhau_jupyter.auth.audit.log import AuditLog
from bacalhau_jupyter.auth.audit.repeats import WINDOW_S, Repeats
from bacalhau_jupyter.auth.audit.verbs import ACTS, act_of
from bacalhau_jupyter.auth.sockets import Caller
from bacalhau_jupyter.lib.problems import Problems
from tests.clock import ManualClock
from tests.conformance.contract import all_routes_of_the_api
from tests.transfer.helpers import small_disk

CHANGES_NOTHING = {("PUT", "/api/v1/orchestrator/jobs/diff")}


def entry(name: str = "n") -> Entry:
    return Entry(
        time_ns=1_700_000_000 * 10**9,
        request="QWERTZ",
        principal="user:ada",
        verb="submit",
        subject=Subject("job", "j-1", name),
        outcome=Outcome.DONE,
        status=200,
        origin=Origin.NETWORK,
        caller="192.0.2.7",
    )


def log(path: Path, limit: int = 10**6, kept: int = 2) -> AuditLog:
    file = AuditFile(path, limit, kept)
    file.open()
    return AuditLog(file, ManualClock(), Problems())


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_every_changing_route_of_the_api_has_a_verb() -> None:
    changing = {(method, route) for method, route in all_routes_of_the_api() if method not in ("GET", "HEAD")}
    assert len(changing) > 15
    assert changing - ACTS.keys() == CHANGES_NOTHING
    # And one that somebody adds without a thought leaves a line all the same.
    assert act_of("POST", "/api/v1/new") is not None
    assert act_of("PUT", "/api/v1/orchestrator/jobs/diff") is None
    assert act_of("GET", "/api/v1/orchestrator/jobs") is None


def test_a_line_says_who_did_what_from_where() -> None:
    assert entry().to_plain() == {
        "time": "2023-11-14T22:13:20Z",
        "principal": "user:ada",
        "verb": "submit",
        "object": "job",
        "id": "j-1",
        "name": "n",
        "outcome": "done",
        "status": 200,
        "from": "network",
        "caller": "192.0.2.7",
        "request": "QWERTZ",
    }
    assert str(entry()) == "user:ada: submit job j-1: done"


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[31mred", "\u202egnp.exe", "a\u2028b", "x" * 5000, "\udcff", '"}\n{"']
)
def test_a_hostile_name_stays_one_short_line_of_plain_characters(name: str) -> None:
    line = entry(name).to_line()
    assert line.count(b"\n") == 1 and line.isascii() and len(line) < 700
    assert json.loads(line)["name"].isprintable()
    assert str(entry(name)).isprintable()


@pytest.mark.parametrize(
    ("caller", "headers", "origin"),
    [
        (Caller("uid 1000", is_own_user=True, is_of_this_machine=True), {}, Origin.OWN_USER),
        (Caller("uid 1001", is_own_user=False, is_of_this_machine=True), {}, Origin.MACHINE),
        (Caller("127.0.0.1", is_own_user=False, is_of_this_machine=True), {}, Origin.MACHINE),
        (Caller("192.0.2.7", is_own_user=False), {}, Origin.NETWORK),
        (Caller("2001:db8::/64", is_own_user=False), {}, Origin.NETWORK),
        (
            Caller("uid 1000", is_own_user=True, is_of_this_machine=True),
            {"X-Forwarded-For": "192.0.2.7"},
            Origin.PROXY,
        ),
    ],
)
def test_where_a_request_comes_from(caller: Caller, headers: dict[str, str], origin: Origin) -> None:
    assert origin_of(caller, headers) is origin


async def test_the_file_is_the_nodes_own_and_a_process_that_died_in_a_line_spoils_no_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"verb": "sub')
    path.chmod(0o644)
    audit = log(path)
    await audit.write(entry())
    audit.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes().splitlines()[1])["verb"] == "submit"


async def test_files_are_put_aside_by_size_and_never_grow_beyond_their_number(tmp_path: Path) -> None:
    path, size = tmp_path / "audit.jsonl", len(entry("0000").to_line())
    audit = log(path, limit=3 * size, kept=2)
    for number in range(20):
        await audit.write(entry(f"{number:04}"))
    audit.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "audit.jsonl",
        "audit.jsonl.1",
        "audit.jsonl.2",
    ]
    files = [path.with_name("audit.jsonl.2"), path.with_name("audit.jsonl.1"), path]
    names = [line["name"] for file in files for line in lines(file)]
    assert names == [f"{number:04}" for number in range(12, 20)]
    assert all(file.stat().st_size <= 3 * size and file.stat().st_mode & 0o777 == 0o600 for file in files)


async def test_a_file_that_logrotate_moved_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = log(path)
    await audit.write(entry("old"))
    path.rename(tmp_path / "moved")
    await audit.write(entry("new"))
    path.unlink()
    await audit.write(entry("newest"))
    audit.close()
    assert [line["name"] for line in lines(path)] == ["newest"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        AuditFile(tmp_path / "audit.jsonl", 10_000, 1).open()
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "audit.jsonl")
    with pytest.raises(OSError, match="not a file"):
        AuditFile(tmp_path / "audit.jsonl", 10_000, 1).open()


async def test_a_full_disk_is_told_once_leaves_no_half_line_and_the_gap_is_marked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        path = disk / "audit.jsonl"
        audit = log(path)
        await audit.write(entry("first"))
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as sink, pytest.raises(OSError) as full:
            while True:
                sink.write(b"x" * 4096)
        assert full.value.errno == errno.ENOSPC
        # The last block of the file still has room for some lines.
        for _ in range(40):
            await audit.write(entry("lost" * 20))
        warnings = [record for record in caplog.records if "writing the audit log failed" in record.message]
        assert len(warnings) == 1
        assert [problem.task for problem in audit._problems.every()] == ["writing the audit log"]
        filler.unlink()
        await audit.write(entry("last"))
        audit.close()
        written = lines(path)
        (gap,) = (line for line in written if line["verb"] == "lose lines")
        assert written[0]["name"] == "first" and written[-1]["name"] == "last"
        assert len(written) - 3 + int(str(gap["count"])) == 40
        assert audit._problems.every() == []


async def test_a_line_is_a_record_of_the_nodes_log_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    audit = log(tmp_path / "audit.jsonl")
    await audit.write(entry())
    audit.close()
    (record,) = caplog.records
    assert record.message == "user:ada: submit job j-1: done"
    assert record.audit == entry().to_plain()  # type: ignore[attr-defined]


def test_of_lines_that_repeat_one_a_minute_is_written_and_the_others_are_counted() -> None:
    clock = ManualClock()
    repeats = Repeats(clock)
    assert [repeats.count("a") for _ in range(4)] == [0, None, None, None]
    assert repeats.count("b") == 0
    clock.advance(WINDOW_S)
    assert [repeats.count("a"), repeats.count("a")] == [3, None]


def test_a_flood_of_callers_takes_bounded_memory() -> None:
    repeats = Repeats(ManualClock())
    for number in range(5000):
        assert repeats.count(str(number)) == 0
    assert len(repeats._since) <= 1000


def test_no_descriptor_leaks(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl", 200, 1)
    file.open()
    for _ in range(20):
        file.write(b"x" * 150 + b"\n")
    assert len(open_below(tmp_path)) == 1
    file.close()
    assert open_below(tmp_path) == []


def open_below(directory: Path) -> list[str]:
    """Return what this process has open there; other descriptors come and go, of what earlier tests left, too."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.append(str(entry.readlink()))
    return [name for name in names if name.startswith(f"{directory}/")]
