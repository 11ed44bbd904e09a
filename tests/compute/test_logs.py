from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.compute.execution.machine import admit
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Phase
from bacalhau_jupyter.compute.files import Places
from bacalhau_jupyter.compute.output import logs
from bacalhau_jupyter.compute.output.logs import LogFollower, _Text
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import ExecutionLogsRequest
from bacalhau_jupyter.plugins.logfile import STDERR, STDOUT, Frame, LogWriter
from tests.compute.makers import make_execution

WAIT_S = 60.0


class Room:
    """One execution, its log file, and a follower."""

    def __init__(self, directory: Path, inotify: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waits = asyncio.Event()
        wait = logs._wait

        async def announced(changed: asyncio.Event) -> None:
            self._waits.set()
            await wait(changed)

        monkeypatch.setattr(logs, "_wait", announced)
        self.places = Places(directory)
        self.places.prepare()
        self.record: ExecutionRecord = admit(make_execution(), False, 0).record
        self.follower = LogFollower(self.places, self._lookup, inotify)
        self.path = self.places.log(self.record.id)

    async def _lookup(self, execution_id: str) -> ExecutionRecord | None:
        return self.record if execution_id == self.record.id else None

    def writer(self) -> LogWriter:
        return LogWriter(self.path)

    def end(self) -> None:
        self.record = msgspec.structs.replace(self.record, phase=Phase.COMPLETED)
        self.follower.wake(self.record.id)

    async def reads_to_the_end(self) -> None:
        """Return once a follower has read all that there is and begins to wait for more."""
        async with asyncio.timeout(WAIT_S):
            await self._waits.wait()
        self._waits.clear()

    def stream(self, *, follow: bool = True, tail: bool = False) -> AsyncIterator[LogFrame]:
        return self.follower.follow(
            ExecutionLogsRequest(execution_id=self.record.id, follow=follow, tail=tail)
        )

    async def read(self, *, follow: bool = True, tail: bool = False) -> list[tuple[int, str]]:
        async with asyncio.timeout(WAIT_S):
            return [
                (frame.value.type, frame.value.line) async for frame in self.stream(follow=follow, tail=tail)
            ]


@pytest.fixture(params=[True, False], ids=["inotify", "timer"])
async def room(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Room]:
    # Followers must be woken; the safety net would hide it if they were not.
    monkeypatch.setattr(logs, "RECHECK_S", 10 * WAIT_S)
    it = Room(tmp_path / "compute", request.param, monkeypatch)
    yield it
    assert it.follower._watch._waiting == {}
    it.follower.close()


async def test_a_finished_log_is_replayed_whole_whatever_the_flags(room: Room) -> None:
    writer = room.writer()
    writer.write(STDOUT, b"one\n")
    writer.write(STDERR, b"warn\n")
    writer.write(STDOUT, b"two, unfinished")
    writer.end()
    room.end()
    expected = [(STDOUT, "one\n"), (STDERR, "warn\n"), (STDOUT, "two, unfinished")]
    assert await room.read(follow=False) == expected
    assert await room.read(follow=True) == expected


async def test_without_follow_a_running_log_gives_what_is_there(room: Room) -> None:
    writer = room.writer()
    writer.write(STDOUT, b"so far\n")
    assert await room.read(follow=False) == [(STDOUT, "so far\n")]
    writer.end()


async def test_tail_never_begins_inside_a_frame_that_is_being_written(room: Room) -> None:
    writer = room.writer()
    writer.write(STDOUT, b"before\n")
    size = room.path.stat().st_size
    writer.write(STDOUT, b"after " + b"x" * 500 + b"\n")
    last = room.path.read_bytes()[size:]
    with room.path.open("r+b") as file:
        file.truncate(size + 100)  # a reader may see as much of a write that goes on
    stream = room.stream(tail=True)
    reading = asyncio.ensure_future(anext(stream))
    await room.reads_to_the_end()
    assert not reading.done()
    with room.path.open("ab") as file:
        file.write(last[100:])
    async with asyncio.timeout(WAIT_S):
        frame = await reading
    assert frame.value.line.startswith("after x")
    writer.end()
    assert [each async for each in stream] == []


async def test_a_follower_that_comes_before_the_start_gets_the_first_byte(room: Room) -> None:
    reading = asyncio.create_task(room.read())
    await room.reads_to_the_end()
    assert not reading.done()
    writer = room.writer()
    writer.write(STDOUT, b"first\n")
    writer.end()
    assert await reading == [(STDOUT, "first\n")]


async def test_a_follower_of_an_execution_that_never_starts_ends_with_it(room: Room) -> None:
    reading = asyncio.create_task(room.read())
    await room.reads_to_the_end()
    room.end()
    assert await reading == []


async def test_a_log_without_an_end_ends_with_its_execution(room: Room) -> None:
    writer = room.writer()
    writer.write(STDOUT, b"killed in mid-sen")
    reading = asyncio.create_task(room.read())
    await room.reads_to_the_end()
    assert not reading.done()
    room.end()
    assert await reading == [(STDOUT, "killed in mid-sen")]
    writer.close()


async def test_tail_gives_only_what_is_written_from_now_on(room: Room) -> None:
    writer = room.writer()
    writer.write(STDOUT, b"old\n")
    stream = room.stream(tail=True)
    reading = asyncio.ensure_future(anext(stream))
    await room.reads_to_the_end()
    writer.write(STDOUT, b"new\n")
    frame = await asyncio.wait_for(reading, WAIT_S)
    assert frame.value.line == "new\n"
    writer.end()
    assert [frame async for frame in stream] == []


@pytest.mark.parametrize("name", ["e-unknown", "../../etc/passwd", ""])
async def test_an_unknown_execution_is_reported_in_a_frame(room: Room, name: str) -> None:
    frames = [frame async for frame in room.follower.follow(ExecutionLogsRequest(execution_id=name))]
    assert [frame.error for frame in frames] == [f"execution not found: {name}"]


async def test_a_character_that_two_writes_share_arrives_whole(room: Room) -> None:
    writer = room.writer()
    stream = room.stream()
    snowman = "☃\n".encode()
    writer.write(STDOUT, snowman[:1])
    writer.write(STDERR, b"between\n")
    first = await asyncio.wait_for(anext(stream), WAIT_S)
    assert (first.value.type, first.value.line) == (STDERR, "between\n")
    writer.write(STDOUT, snowman[1:])
    second = await asyncio.wait_for(anext(stream), WAIT_S)
    assert (second.value.type, second.value.line) == (STDOUT, "☃\n")
    writer.write(STDOUT, snowman[:2])
    writer.end()
    assert [frame.value.line async for frame in stream] == ["�"]


async def test_a_change_is_found_also_when_the_queue_of_notifications_overflowed(room: Room) -> None:
    writer = room.writer()
    stream = room.stream()
    writer.write(STDOUT, b"first\n")
    assert (await asyncio.wait_for(anext(stream), WAIT_S)).value.line == "first\n"
    reading = asyncio.ensure_future(anext(stream))
    await room.reads_to_the_end()
    with (room.places.logs / "a").open("wb", 0) as one, (room.places.logs / "b").open("wb", 0) as other:
        for _ in range(10_000):
            one.write(b"x")
            other.write(b"x")
    writer.write(STDOUT, b"second\n")
    assert (await asyncio.wait_for(reading, WAIT_S)).value.line == "second\n"
    writer.end()
    assert [frame async for frame in stream] == []


async def test_many_followers_get_the_same_and_a_slow_one_holds_nobody_up(room: Room) -> None:
    writer = room.writer()
    slow = room.stream()
    writer.write(STDOUT, b"0\n")
    await asyncio.wait_for(anext(slow), WAIT_S)
    readers = [asyncio.create_task(room.read()) for _ in range(20)]
    for number in range(1, 500):
        writer.write(STDOUT, f"{number}\n".encode())
        if number % 50 == 0:
            await asyncio.sleep(0)
    writer.end()
    expected = "".join(f"{number}\n" for number in range(500))
    for reader in readers:
        assert "".join(line for _, line in await reader) == expected
    rest = "".join([frame.value.line async for frame in slow])
    assert "0\n" + rest == expected


async def test_an_abandoned_follower_leaves_nothing(room: Room) -> None:
    writer = room.writer()
    writer.write(STDOUT, b"x\n")
    stream = room.stream()
    await asyncio.wait_for(anext(stream), WAIT_S)
    assert room.follower._watch._waiting
    await stream.aclose()  # type: ignore[attr-defined]
    assert room.follower._watch._waiting == {}
    assert room.follower._watch._fd == -1
    assert room.follower._watch._timer is None
    writer.end()


async def test_a_log_of_many_megabytes_is_streamed_in_bounded_pieces(room: Room) -> None:
    writer = room.writer()
    line = b"x" * 99 + b"\n"
    for _ in range(40):
        writer.write(STDOUT, line * 2500)
    writer.end()
    sizes = [len(text) for _, text in await room.read()]
    assert sum(sizes) == 40 * 2500 * 100
    assert max(sizes) <= 100_000


async def test_each_line_reaches_a_follower_that_has_read_all_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(tmp_path / "compute", True, monkeypatch)
    writer = room.writer()
    stream = room.stream()
    for number in range(100):
        waiting = asyncio.ensure_future(anext(stream))
        await room.reads_to_the_end()
        writer.write(STDOUT, f"{number}\n".encode())
        assert (await asyncio.wait_for(waiting, WAIT_S)).value.line == f"{number}\n"
    writer.end()
    assert [frame async for frame in stream] == []
    room.follower.close()


frames = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40)), max_size=30)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(frames, st.lists(st.integers(1, 10), max_size=30))
def test_however_bytes_are_split_each_stream_reads_as_if_it_came_at_once(
    chunks: list[tuple[int, bytes]], groups: list[int]
) -> None:
    text, read_frames = _Text(), list[LogFrame]()
    pending = [Frame(stream, 0, data, 0) for stream, data in chunks]
    for size in [*groups, len(pending)]:
        read_frames += text.chunks(pending[:size])
        pending = pending[size:]
    read_frames += text.rest()
    for stream in (STDOUT, STDERR):
        whole = b"".join(data for kind, data in chunks if kind == stream)
        got = "".join(frame.value.line for frame in read_frames if frame.value.type == stream)
        assert got == whole.decode("utf-8", "replace")
