"""From the daemon's stream to the log file: whatever is cut off, and where, nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.engines.docker.output.logs import BrokenStream, LogCopier, LogLost, Position
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.plugins.logfile import STDERR, STDOUT, STREAM_LIMIT, LogWriter, read_frames

STAMP = "2026-11-21T21:23:10.494587496Z"


def frame(stream: int, data: bytes, stamp: str = STAMP) -> bytes:
    payload = stamp.encode() + b" " + data
    return struct.pack(">BxxxI", stream, len(payload)) + payload


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def copy(path: Path, chunks: Iterator[bytes], limit: int = STREAM_LIMIT) -> None:
    writer = LogWriter(path)
    try:
        LogCopier(writer, Position.of(path, limit)).copy(chunks)
    finally:
        writer.close()


def streams_of(path: Path) -> dict[int, bytes]:
    streams = {STDOUT: b"", STDERR: b""}
    offset = 0
    while frames := list(read_frames(path, offset)):
        for item in frames:
            streams[item.stream] += item.data
        offset = frames[-1].next_offset
    return streams


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40)), max_size=12),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    size=st.integers(1, 70),
    torn=st.integers(0, 20),
)
def test_a_log_that_is_cut_anywhere_and_read_again_holds_every_byte_once(
    lines: list[tuple[int, bytes]], cuts: list[float], size: int, torn: int
) -> None:
    whole = b"".join(frame(stream, data) for stream, data in lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        for cut in cuts:
            # The node dies here, perhaps in the middle of writing a frame of its own.
            with contextlib.suppress(BrokenStream):
                copy(path, pieces(whole[: int(cut * len(whole))], size))
            with path.open("ab") as log:
                log.write((b"\x01" + b"\0" * 11 + b"\xff" + b"x" * 20)[:torn])
        copy(path, pieces(whole, size))
        assert streams_of(path) == {
            kind: b"".join(data for stream, data in lines if stream == kind) for kind in (STDOUT, STDERR)
        }


def test_frames_carry_the_daemons_own_times(tmp_path: Path) -> None:
    stamps = [STAMP, "2026-11-21T21:23:10.000000001Z", "2027-02-28T23:59:59.999999999Z"]
    copy(tmp_path / "log", iter([b"".join(frame(STDOUT, b"x\n", stamp) for stamp in stamps)]))
    assert [item.time_ns for item in read_frames(tmp_path / "log")] == [
        parse_rfc3339(text) for text in stamps
    ]


def test_lines_of_one_millisecond_that_come_together_share_a_frame(tmp_path: Path) -> None:
    stamps = [f"2026-11-21T21:23:10.{number // 10:03}{number % 10}00000Z" for number in range(40)]
    copy(tmp_path / "log", iter([b"".join(frame(STDOUT, b"line\n", stamp) for stamp in stamps)]))
    frames = list(read_frames(tmp_path / "log"))
    assert [item.data for item in frames] == [b"line\n" * 10] * 4
    assert frames[1].time_ns == parse_rfc3339(stamps[10])


def test_a_frame_is_written_as_soon_as_it_is_whole(tmp_path: Path) -> None:
    first, second = frame(STDOUT, b"first\n"), frame(STDERR, b"second\n")

    def chunks() -> Iterator[bytes]:
        yield first + second[:5]
        assert streams_of(tmp_path / "log")[STDOUT] == b"first\n"
        yield second[5:]

    copy(tmp_path / "log", chunks())
    assert streams_of(tmp_path / "log")[STDERR] == b"second\n"


def test_an_error_of_the_daemon_inside_the_stream_is_not_output(tmp_path: Path) -> None:
    broken = struct.pack(">BxxxI", 3, 13) + b"disk is gone\n"
    with pytest.raises(BrokenStream, match=r"^disk is gone$"):
        copy(tmp_path / "log", iter([frame(STDOUT, b"x"), broken]))
    assert streams_of(tmp_path / "log")[STDOUT] == b"x"


def test_a_stream_over_its_limit_is_cut_once_even_after_a_restart(tmp_path: Path) -> None:
    whole = frame(STDOUT, b"1234567") + frame(STDERR, b"e") + frame(STDOUT, b"890abc") + frame(STDERR, b"f")
    with pytest.raises(BrokenStream):
        copy(tmp_path / "log", iter([whole[:50]]), 10)
    for _ in range(2):
        copy(tmp_path / "log", iter([whole]), 10)
        assert streams_of(tmp_path / "log") == {STDOUT: b"1234567890", STDERR: b"ef"}


def test_a_full_disk_is_distinguished_from_a_broken_stream() -> None:
    writer = LogWriter(Path("/dev/full"))
    try:
        with pytest.raises(LogLost) as lost:
            LogCopier(writer, Position.of(Path("/nowhere"))).copy(iter([frame(STDOUT, b"x")]))
        assert isinstance(lost.value.__cause__, OSError)
    finally:
        writer.close()
