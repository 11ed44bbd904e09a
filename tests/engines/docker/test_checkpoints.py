"""Reading a container's log on from a checkpoint: every byte once, whatever was cut off, and where."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.engines.docker.output.checkpoints import EVERY_MS, MARGIN_MS, Checkpoint, Checkpoints
from bacalhau_jupyter.engines.docker.output.logs import BrokenStream, LogCopier, Position
from bacalhau_jupyter.plugins.logfile import STDERR, STDOUT, LogWriter, read_frames

START_MS = 1_795_000_000_000
Entry = tuple[int, int, bytes]
"""Stream, milliseconds, data."""


def frame(entry: Entry) -> bytes:
    stream, stamp_ms, data = entry
    moment = datetime.fromtimestamp(stamp_ms / 1000, UTC)
    payload = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").encode() + b"123Z " + data
    return struct.pack(">BxxxI", stream, len(payload)) + payload


class EngineLog:
    """What an engine answers; a piece of a line carries the time of the line's first piece."""

    def __init__(self, steps: list[tuple[int, int, bool]]) -> None:
        self.entries: list[Entry] = []
        now, unended = START_MS, dict[int, int]()
        for number, (stream, later_ms, ended) in enumerate(steps):
            now += later_ms
            stamp = unended.pop(stream, now)
            if not ended:
                unended[stream] = stamp
            self.entries.append((stream, stamp, b"%d:%s" % (number, b"\n" if ended else b".")))

    def answer(self, since_ms: int, until: int, *, skips_once: bool) -> list[Entry]:
        """Return the first ``until`` entries from ``since_ms`` on.

        Before Docker Engine 24 each entry is compared with the time; since then all that follow the first one that is
        young enough are sent.
        """
        there = self.entries[:until]
        young = [number for number, entry in enumerate(there) if entry[1] >= since_ms]
        if skips_once:
            return there[young[0] :] if young else []
        return [there[number] for number in young]

    def whole(self) -> dict[int, bytes]:
        return {
            kind: b"".join(data for stream, _, data in self.entries if stream == kind)
            for kind in (STDOUT, STDERR)
        }


def streams_of(path: Path) -> dict[int, bytes]:
    streams, offset = {STDOUT: b"", STDERR: b""}, 0
    while frames := list(read_frames(path, offset)):
        for item in frames:
            streams[item.stream] += item.data
        offset = frames[-1].next_offset
    return streams


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([STDOUT, STDERR]), st.sampled_from([0, 1, 40_000, 70_000]), st.booleans()),
        max_size=30,
    ),
    cuts=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=5),
    skips_once=st.booleans(),
)
# A progress bar: its pieces carry the time of the first, long after other lines.
@example(
    steps=[(STDERR, 0, False), *[(STDOUT, 40_000, True)] * 6, (STDERR, 0, False), (STDERR, 0, True)],
    cuts=[(7, False)],
    skips_once=False,
)
def test_a_log_read_on_from_checkpoints_holds_every_byte_once(
    steps: list[tuple[int, int, bool]], cuts: list[tuple[int, bool]], skips_once: bool
) -> None:
    log = EngineLog(steps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        writer = LogWriter(path)
        position = Position.of(path)
        copier = LogCopier(writer, position)
        for until, restart in [*sorted(cuts), (len(steps), False)]:
            place = position.checkpoints.best()
            answer = log.answer(place.since_ms, until, skips_once=skips_once)
            copier.copy(iter([b"".join(map(frame, answer))]), place)
            if restart:
                # A node that was killed knows only its own log file.
                writer.close()
                writer, position = LogWriter(path), Position.of(path)
                copier = LogCopier(writer, position)
        writer.close()
        assert streams_of(path) == log.whole()


def test_a_long_log_is_not_read_again_from_its_start() -> None:
    places = Checkpoints()
    for number in range(10_000):
        places.note(STDOUT, START_MS + number * 1000, 10, ended=True)
    best = places.best()
    newest = START_MS + 9_999_000
    assert newest - MARGIN_MS - EVERY_MS <= best.since_ms <= newest - MARGIN_MS
    assert best.received[STDOUT] == 10 * ((newest - best.since_ms) // 1000 + 1)
    assert best.since == f"{best.since_ms // 1000}.000000000"
    assert len(places._places) < 6


def test_a_short_log_is_read_again_from_its_start() -> None:
    places = Checkpoints()
    for number in range(50):
        places.note(STDERR, START_MS + number * 1000, 3, ended=True)
    assert places.best() == Checkpoint(0, {STDOUT: 0, STDERR: 150}, START_MS)
    assert places.best().since == ""


@pytest.mark.parametrize("zone", ["Z", "+02:00", "-09:30"])
def test_times_in_the_engines_own_zone_are_understood(tmp_path: Path, zone: str) -> None:
    payload = f"2026-11-21T21:23:10.494587496{zone} text\n".encode()
    writer = LogWriter(tmp_path / "log")
    position = Position.of(tmp_path / "log")
    LogCopier(writer, position).copy(iter([struct.pack(">BxxxI", STDOUT, len(payload)) + payload]))
    writer.close()
    (item,) = read_frames(tmp_path / "log")
    expected = datetime.fromisoformat(f"2026-11-21T21:23:10{zone.replace('Z', '+00:00')}")
    assert item.time_ns == int(expected.timestamp()) * 1_000_000_000 + 494587496


def copied(path: Path, entries: list[Entry]) -> bytes:
    """Copy a log of an engine that loses the newlines of lines in pieces; return its standard output."""

    def chunks() -> Iterator[bytes]:
        yield b"".join(map(frame, entries))

    writer = LogWriter(path)
    with contextlib.suppress(BrokenStream):
        LogCopier(writer, Position.of(path), newlines_lost=True).copy(chunks())
    writer.close()
    return streams_of(path)[STDOUT]


@pytest.mark.parametrize("last", [0, 1, 16383])
def test_a_line_in_pieces_gets_the_newline_back_that_the_engine_lost(tmp_path: Path, last: int) -> None:
    pieces = [(STDOUT, START_MS, b"x" * 16384), (STDERR, START_MS, b"e\n"), (STDOUT, START_MS, b"x" * last)]
    log = copied(tmp_path / "log", [*pieces, (STDOUT, START_MS + 1, b"next\n")])
    assert log == b"x" * (16384 + last) + b"\nnext\n"


def test_a_last_line_without_a_newline_gets_none(tmp_path: Path) -> None:
    entries = [(STDOUT, START_MS, b"x" * 16384), (STDOUT, START_MS, b"x"), (STDOUT, START_MS, b"tail")]
    assert copied(tmp_path / "log", entries) == b"x" * 16385 + b"\ntail"


@pytest.mark.parametrize("restart", [False, True])
def test_of_a_log_that_was_rotated_all_that_is_younger_is_taken(tmp_path: Path, restart: bool) -> None:
    lines = [(STDOUT, START_MS + number, b"%d\n" % number) for number in range(100)]
    path = tmp_path / "log"
    writer, position = LogWriter(path), Position.of(path)
    copier = LogCopier(writer, position)
    copier.copy(iter([b"".join(map(frame, lines[:70]))]), position.checkpoints.best())
    if restart:
        writer.close()
        writer, position = LogWriter(path), Position.of(path)
        copier = LogCopier(writer, position)
    # The engine has kept the last 50 of 100 entries, and a tail.
    kept = [*lines[50:], (STDOUT, START_MS + 200, b"tail")]
    copier.copy(iter([b"".join(map(frame, kept))]), position.checkpoints.best())
    writer.close()
    assert streams_of(path)[STDOUT] == b"".join(data for _, _, data in lines) + b"tail"
