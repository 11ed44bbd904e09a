"""How the process engine behaves: output, ends, limits, restarts, bids; real processes in every tier."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.engines.supervised import launch
from bacalhau_jupyter.engines.supervised.cgroups.delegated import of_this_node
from bacalhau_jupyter.engines.supervised.supervisor import frames
from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.process.bench import SYSTEM_PYTHON, Bench
from tests.engines.running import LIMITS_S, all_frames
from tests.services.common import is_root
from tests.services.waiting import until

# --- running --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill $$"], 143),
    ],
)
async def test_the_exit_code_is_the_program_s_or_128_plus_its_signal(
    bench: Bench, tier: str, command: list[str], code: int
) -> None:
    outcome = (await bench.run(command)).outcome
    assert (outcome.reason, outcome.exit_code, outcome.error) == (EndReason.EXITED, code, None)


async def test_both_streams_are_logged_in_order_with_times_and_an_end_frame(bench: Bench) -> None:
    # What lies in both pipes at once has no order: each line waits until the one before has been read.
    code = """
    import fcntl, os, struct, termios, time
    for number in range(5):
        for stream, name in (1, "out"), (2, "err"):
            os.write(stream, f"{name} {number}\\n".encode())
            while struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, bytes(4)))[0]:
                time.sleep(0.001)
    """
    result = await bench.python(textwrap.dedent(code))
    frames = all_frames(result.request.log_path)
    assert [frame.data.decode() for frame in frames if frame.data] == [
        f"{name} {number}\n" for number in range(5) for name in ("out", "err")
    ]
    assert [frame.stream for frame in frames] == [logfile.STDOUT, logfile.STDERR] * 5 + [logfile.END]
    assert [frame.time_ns for frame in frames] == sorted(frame.time_ns for frame in frames)
    assert abs(frames[0].time_ns - time.time_ns()) < 60e9


async def test_output_is_in_the_log_while_the_task_runs(bench: Bench) -> None:
    request = bench.request([SYSTEM_PYTHON or "", "-c", "import time; print('first'); time.sleep(50)"])
    await bench.engine.start(request)
    await until(lambda: b"".join(frame.data for frame in all_frames(request.log_path)) == b"first\n")
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


async def test_a_hundred_megabytes_pass_through_in_constant_memory(bench: Bench) -> None:
    # It goes on until its supervisor has been looked at, which ends with it.
    code = """
    import signal, sys
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    for _ in range(1600):
        sys.stdout.buffer.write(b"x" * 65536)
    sys.stdout.flush()
    signal.sigwait([signal.SIGUSR1])
    """
    size = 1600 * 65536
    request = bench.request([SYSTEM_PYTHON or "", "-c", textwrap.dedent(code)], timeout_s=100.0)
    await bench.engine.start(request)
    await until(lambda: request.log_path.exists() and request.log_path.stat().st_size > size, timeout_s=90)
    pid = (bench.data / "process" / request.execution.id / "pid").read_text().split()[0]
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    peak = int(most) * 1024
    (job,) = (each for each in psutil.Process(int(pid)).children(recursive=True) if not each.children())
    job.send_signal(signal.SIGUSR1)
    async with asyncio.timeout(60):
        assert (await bench.engine.wait(request.execution.id)).exit_code == 0
    assert sum(len(frame.data) for frame in all_frames(request.log_path)) == size
    assert 0 < peak < 40e6


def test_the_supervisor_writes_the_format_of_the_one_log_path(tmp_path: Path) -> None:
    log = frames.Log(str(tmp_path / "log"), logfile.STREAM_LIMIT)
    log.write(frames.STDOUT, b"out")
    log.write(frames.STDERR, b"err")
    log.end()
    assert [(frame.stream, frame.data) for frame in all_frames(tmp_path / "log")] == [
        (logfile.STDOUT, b"out"),
        (logfile.STDERR, b"err"),
        (logfile.END, b""),
    ]
    assert frames.MAX_PAYLOAD == logfile.MAX_PAYLOAD
    assert frames._HEADER.format == logfile._HEADER.format


# --- limits and ends --------------------------------------------------------------------------------------------------


async def test_memory_beyond_the_limit_is_refused(bench: Bench) -> None:
    code = "data = bytearray({}); print('got it')"
    limit = Resources(memory=200 << 20)
    assert "got it" in (await bench.python(code.format(100 << 20), resources=limit)).stdout
    if "memory" in of_this_node().controllers:
        return  # `test_groups.py` looks at what a group does instead
    refused = await bench.python(code.format(300 << 20), resources=limit)
    assert "MemoryError" in refused.stderr
    assert refused.outcome.exit_code == 1


async def test_a_file_beyond_the_disk_limit_is_refused(bench: Bench) -> None:
    code = "open('outputs/big', 'wb').write(b'x' * (2 << 20))"
    refused = await bench.python(code, resources=Resources(disk=1 << 20))
    assert "File too large" in refused.stderr
    assert refused.outcome.error is not None
    assert refused.outcome.error.message == "disk limit exceeded"


@pytest.mark.parametrize("place", [".", "outputs", "$TMPDIR"])
async def test_files_that_are_beyond_the_disk_limit_together_end_the_task(bench: Bench, place: str) -> None:
    code = """
import os, sys, time
place = os.path.expandvars(sys.argv[1])
for number in range(5):
    with open(f"{place}/{number}", "wb") as file:
        file.write(bytes(1 << 20))
time.sleep(100)
"""
    ended = await bench.python(code, place, resources=Resources(disk=3 << 20))
    assert ended.outcome.error is not None, ended
    assert ended.outcome.error.message == "disk limit exceeded"
    assert ended.outcome.exit_code == 137
    fits = await bench.python(code.replace("100", "0"), place, resources=Resources(disk=6 << 20))
    assert (fits.outcome.reason, fits.outcome.error) == (EndReason.EXITED, None)


async def test_a_time_out_ends_the_task_with_that_reason(bench: Bench) -> None:
    for limit_s in LIMITS_S:
        result = await bench.run(["sh", "-c", "echo begin; sleep 100"], timeout_s=limit_s)
        assert result.outcome.reason is EndReason.TIMEOUT
        assert result.outcome.error is not None
        if result.stdout:
            break
    assert result.stdout == "begin\n"


async def test_cancel_lets_the_task_tidy_up_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine, a shell may get no processor for a second.
    monkeypatch.setattr(launch, "STOP_GRACE_S", 60.0)
    command = "trap 'echo tidy; exit 3' TERM; echo up; while true; do sleep 0.05; done"
    request = bench.request(["sh", "-c", command])
    await bench.engine.start(request)
    await until(lambda: b"up\n" in [frame.data for frame in all_frames(request.log_path)])
    await bench.engine.cancel(request.execution.id)
    result = await bench.finish(request)
    assert result.outcome.reason is EndReason.CANCELLED
    assert result.outcome.error is None
    assert result.stdout == "up\ntidy\n"
    await bench.engine.cancel(request.execution.id)
    await bench.engine.cancel("e-unknown")


async def test_cancel_right_after_start_is_not_lost(bench: Bench) -> None:
    for _ in range(5):
        request = bench.request(["sleep", "50"])
        await bench.engine.start(request)
        await bench.engine.cancel(request.execution.id)
        assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


async def test_starting_twice_runs_once(bench: Bench) -> None:
    request = bench.request(["sh", "-c", "echo once >> outputs/count; sleep 0.2"])
    label = await bench.engine.start(request)
    assert await bench.engine.start(request) == label
    result = await bench.finish(request)
    assert await bench.engine.start(request) == label
    assert (await bench.finish(request)).outcome == result.outcome
    assert result.text("count") == "once\n"


async def test_clean_removes_everything_and_existing_lists_what_is_left(bench: Bench) -> None:
    result = await bench.run(["sh", "-c", "mkdir -p $TMPDIR/a && touch $TMPDIR/a/b && chmod 000 $TMPDIR/a"])
    execution_id = result.request.execution.id
    assert await bench.engine.existing() == [execution_id]
    await bench.engine.clean(execution_id)
    assert await bench.engine.existing() == []
    assert sorted(path.name for path in (bench.data / "process").iterdir()) == ["node"]
    with pytest.raises(EngineError, match="unknown"):
        await bench.engine.wait(execution_id)


async def test_many_at_once_all_complete(bench: Bench) -> None:
    results = await asyncio.gather(*(bench.run(["sh", "-c", f"sleep 0.1; exit {n}"]) for n in range(12)))
    assert [each.outcome.exit_code for each in results] == list(range(12))
    if is_root():
        users = {
            json.loads((bench.data / "process" / each.request.execution.id / "about.json").read_text())[
                "user"
            ]
            for each in results
        }
        assert len(users) == 12, "each job has a uid of its own"


@pytest.mark.root
async def test_a_full_disk_fails_the_execution_with_that_reason(bench: Bench) -> None:
    if not is_root():
        pytest.skip("only root can mount a small file system")
    small = bench.place / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=False)
    if mounted.returncode:
        pytest.skip("no mounts here")
    try:
        code = "import sys, time\nfor _ in range(100): sys.stdout.write('x' * 65536)\ntime.sleep(100)"
        result = await bench.python(code, log=small / "log")
        assert result.outcome.reason is EndReason.ERROR
        assert result.outcome.error is not None
        assert "no space left" in result.outcome.error.message
        assert all_frames(small / "log")[-1].stream == logfile.END
        assert (await bench.run(["true"])).outcome.exit_code == 0, "the engine lives"
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.root
async def test_a_disk_that_is_full_before_the_start_is_said_so_and_leaves_nothing(
    tmp_path: Path, tier: str
) -> None:
    if not is_root() or tier != "bubblewrap":
        pytest.skip("only root can mount a small file system")
    bench = Bench(tmp_path, None)
    bench.data.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", bench.data], check=False).returncode:
        pytest.skip("no mounts here")
    try:
        assert await bench.open() == ""
        request = bench.request(["true"])
        filler = bench.data / "filler"
        with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
            while True:
                if file.write(b"x" * 65536) < 65536:
                    raise OSError("No space left")
        with pytest.raises(IOFailure, match="no space left"):
            await bench.engine.start(request)
        assert await bench.engine.existing() == []
        filler.unlink()
        assert (await bench.run(["true"])).outcome.exit_code == 0
    finally:
        await bench.close()
        subprocess.run(["umount", bench.data], check=True)


async def test_what_was_never_started_is_not_there(bench: Bench) -> None:
    assert not await bench.engine.attach(bench.request(["true"]))
