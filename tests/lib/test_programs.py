"""Programs that are asked something, and programs that are ended, whatever they do."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.programs.calls import MOST_BYTES, call, end, exited
from bacalhau_jupyter.lib.programs.processor_time import processor_limit, processor_seconds
from tests.services.common import process_start
from tests.services.waiting import lasts, until

PATH = {"PATH": os.defpath}


async def started(script: str, stdin: int | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "sh", "-c", script, stdin=stdin, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )


def is_paused(process: asyncio.subprocess.Process) -> bool:
    """Whether asyncio has stopped reading its output, because nobody takes it."""
    pipe = process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
    return not pipe.is_reading()


@pytest.mark.parametrize("is_group", [False, True])
async def test_a_program_that_prints_what_nobody_reads_is_ended(is_group: bool) -> None:
    process = await started("exec yes")
    await until(lambda: is_paused(process))
    async with asyncio.timeout(60):
        await end(process, is_group=is_group)
    assert process.returncode == -signal.SIGKILL


async def test_what_a_program_has_started_does_not_hold_up_its_end() -> None:
    process = await started("sleep 600 & echo $!; wait")
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    try:
        async with asyncio.timeout(60):
            await end(process)
    finally:
        os.kill(child, signal.SIGKILL)


async def test_a_program_has_ended_although_what_it_has_started_holds_its_pipe() -> None:
    process = await started("sleep 600 & echo $!; read _; exit 7", stdin=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    child = int(await process.stdout.readline())
    try:
        waiting = [asyncio.create_task(exited(process)) for _ in range(2)]
        await asyncio.sleep(0)
        process.stdin.write(b"\n")
        assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == [7, 7]
        assert await exited(process) == 7
        assert process_start(child) is not None
        await end(process, 600)
    finally:
        os.kill(child, signal.SIGKILL)


async def test_a_program_that_ends_when_asked_is_not_waited_for_longer() -> None:
    process = await started("sleep 600 & echo $!; exec sleep 600")
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    try:
        await asyncio.wait_for(end(process, 600), 60)
    finally:
        os.kill(child, signal.SIGKILL)
    assert process.returncode == -signal.SIGTERM


async def test_a_group_ends_with_its_leader() -> None:
    process = await started("sleep 600 & echo $!; wait")
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    await end(process, is_group=True)
    await until(lambda: process_start(child) is None)


async def test_a_program_that_does_not_end_when_asked_is_gone_where_its_end_is_cancelled() -> None:
    process = await started("trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    ending = asyncio.create_task(end(process, 600))
    assert await process.stdout.readline() == b"asked\n"
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert process.returncode == -signal.SIGKILL


async def test_an_answer_is_bounded_and_the_program_gone_after_its_time() -> None:
    done = await call(
        ["sh", "-c", f"head -c {MOST_BYTES + 5} /dev/zero; cat >&2"], PATH, timeout_s=60, stdin=b"in"
    )
    assert (done.status, len(done.stdout), done.stderr) == (0, MOST_BYTES, "in")
    with pytest.raises(TimeoutError):
        await call(["sh", "-c", "yes & yes >&2"], PATH, timeout_s=0.2)


async def test_what_a_program_left_behind_ends_with_the_question(tmp_path: Path) -> None:
    left = tmp_path / "left"
    asking = asyncio.create_task(call(["sh", "-c", f"sleep 600 & echo $$ $! > {left}"], PATH, timeout_s=600))
    await until(lambda: left.exists() and left.read_text().endswith("\n"))
    leader, child = map(int, left.read_text().split())
    await until(lambda: process_start(leader) is None)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: process_start(child) is None)


class Processor:
    """Says how long a program has had a processor, as `processor_seconds` does."""

    def __init__(self, *seconds: float | None) -> None:
        self.seconds = list(seconds)

    def __call__(self, pid: int) -> float | None:
        return self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]


@pytest.mark.parametrize(
    "had",
    [
        pytest.param([5.0, 5.5], id="it had its time at the first look"),
        pytest.param([5.0, 5.0, 5.05, 5.5], id="it had its time later"),
        pytest.param([None], id="the system does not say"),
        pytest.param([5.0, None], id="it is gone"),
    ],
)
async def test_a_program_that_had_its_processor_time_is_not_waited_for(had: list[float | None]) -> None:
    with pytest.raises(TimeoutError):
        async with processor_limit(1, 0.1, 600, taken_by=Processor(*had)):
            await asyncio.Event().wait()


async def test_a_program_without_a_processor_is_waited_for_as_long_as_the_clock_says() -> None:
    looks = Processor(5.0)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with processor_limit(1, 0.05, 0.5, taken_by=looks):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() - began >= 0.5


async def test_what_ends_in_time_is_not_disturbed() -> None:
    async with processor_limit(os.getpid(), 0.01, 600, taken_by=Processor(5.0)):
        await lasts(0.05)
    await lasts(0.05)


async def test_the_processor_time_of_a_program_grows_while_it_computes() -> None:
    process = await started("while :; do :; done")
    try:
        await until(lambda: (processor_seconds(process.pid) or 0) > 0.1)
    finally:
        await end(process)
    assert processor_seconds(process.pid) is None
