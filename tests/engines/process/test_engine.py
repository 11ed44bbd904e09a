"""How the process engine behaves: output, ends, limits, restarts, bids; real processes in every tier."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.engines.process import ProcessEngine, host, spawn
from bacalhau_jupyter.engines.process.supervisor import frames
from bacalhau_jupyter.engines.process.tiers import Restricted
from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.resources import Resources
from bacalhau_jupyter.models.spec import (
    NetworkConfig,
    NetworkType,
    Port,
    ResourcesConfig,
    SpecConfig,
    replace,
)
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.process.bench import SYSTEM_PYTHON, Bench, all_frames, make_execution, own_python, until

ROOT = os.geteuid() == 0

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
    code = """
    import os, time
    for number in range(5):
        os.write(1, b"out %d\\n" % number); time.sleep(0.02)
        os.write(2, b"err %d\\n" % number); time.sleep(0.02)
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
    code = "import sys\nfor _ in range(1600): sys.stdout.buffer.write(b'x' * 65536)"
    request = bench.request([SYSTEM_PYTHON or "", "-c", code], timeout_s=60.0)
    await bench.engine.start(request)
    pid_file = bench.data / "process" / request.execution.id / "pid"
    await until(pid_file.exists)
    process = psutil.Process(int(pid_file.read_text().split()[0]))
    peak = 0
    waiting = asyncio.create_task(bench.engine.wait(request.execution.id))
    while not waiting.done():
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.Error:
            break
        await asyncio.sleep(0.01)
    assert (await waiting).exit_code == 0
    assert sum(len(frame.data) for frame in all_frames(request.log_path)) == 1600 * 65536
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


# --- the working directory and the environment ------------------------------------------------------------------------


async def test_a_body_starts_between_inputs_and_outputs(bench: Bench, tier: str) -> None:
    table = bench.place / "table"
    (table / "deep").mkdir(parents=True)
    (table / "a.csv").write_text("1")
    (table / "deep" / "b.csv").write_text("2")
    single = bench.place / "single.txt"
    single.write_text("3")
    code = """
    import glob, json, os
    print(json.dumps({
        "here": sorted(os.listdir(".")),
        "files": sorted(glob.glob("inputs/**/*", recursive=True)),
        "texts": [open("inputs/table/a.csv").read(), open("inputs/table/deep/b.csv").read(),
                  open("inputs/single.txt").read()],
        "same": sorted(os.listdir(os.environ["BACALHAU_INPUTS"])) == sorted(os.listdir("inputs")),
        "mounted": os.path.exists("/inputs/single.txt"),
        "home": os.path.samefile(os.environ["HOME"], os.environ["TMPDIR"]),
        "id": os.environ["BACALHAU_EXECUTION_ID"],
    }))
    open(os.environ["BACALHAU_OUTPUTS"] + "/by-variable", "w").write("v")
    open("outputs/relative", "w").write("r")
    open(os.path.expanduser("~/scratch"), "w").write("s")
    """
    inputs = [InputMount(table, "/inputs/table"), InputMount(single, "/inputs/single.txt")]
    result = await bench.python(textwrap.dedent(code), inputs=inputs)
    assert result.outcome.exit_code == 0, result.stderr
    seen = json.loads(result.stdout)
    assert seen["here"] == ["inputs", "outputs"]
    assert [name for name in seen["files"] if name.endswith((".csv", ".txt"))] == [
        "inputs/single.txt",
        "inputs/table/a.csv",
        "inputs/table/deep/b.csv",
    ]
    assert seen["texts"] == ["1", "2", "3"]
    assert seen["same"] and seen["home"]
    assert seen["mounted"] is (tier == "bubblewrap")
    assert seen["id"] == result.request.execution.id
    assert (result.text("by-variable"), result.text("relative")) == ("v", "r")
    for name in ("by-variable", "relative"):
        assert (result.outputs / name).stat().st_uid == os.geteuid()


async def test_an_input_directory_can_be_all_of_inputs_and_hold_another_one(bench: Bench, tier: str) -> None:
    base = bench.place / "base"
    (base / "sub").mkdir(parents=True)
    (base / "a").write_text("a")
    (base / "sub" / "b").write_text("b")
    extra = bench.place / "extra"
    extra.write_text("extra")
    inputs = [InputMount(base, "/inputs"), InputMount(extra, "/inputs/sub/extra")]
    result = await bench.run(["sh", "-c", "cat inputs/a inputs/sub/b inputs/sub/extra"], inputs=inputs)
    assert result.stdout == "abextra", result
    assert sorted(path.name for path in base.rglob("*")) == ["a", "b", "sub"]


async def test_a_private_input_reaches_the_job_and_keeps_its_modes(bench: Bench) -> None:
    private = bench.repo / "fetched"
    private.mkdir(mode=0o700)
    (private / "data").write_text("private")
    (private / "data").chmod(0o600)
    result = await bench.run(["cat", "inputs/data"], inputs=[InputMount(private, "/inputs")])
    assert result.stdout == "private", result
    assert (private / "data").stat().st_mode & 0o777 == 0o600
    assert private.stat().st_mode & 0o777 == 0o700


async def test_several_outputs_land_each_in_its_own_directory(bench: Bench) -> None:
    outputs = [("one", "/outputs/one"), ("two", "/outputs/two")]
    result = await bench.run(["sh", "-c", "echo 1 > outputs/one/x; echo 2 > outputs/two/x"], outputs=outputs)
    assert result.outcome.exit_code == 0, result
    assert [(each.path / "x").read_text() for each in result.request.outputs] == ["1\n", "2\n"]


async def test_results_are_the_node_s_own_whatever_the_job_did_to_them(bench: Bench) -> None:
    command = (
        "mkdir outputs/closed && echo x > outputs/closed/x && chmod 000 outputs/closed/x outputs/closed;"
        "echo '#!/bin/sh' > outputs/setuid && chmod 4755 outputs/setuid; mkfifo outputs/fifo;"
        "ln -s /etc/shadow outputs/l"
    )
    result = await bench.run(["sh", "-c", command])
    assert result.text("closed/x") == "x\n"
    assert (result.outputs / "setuid").stat().st_mode & 0o7000 == 0
    assert not (result.outputs / "fifo").exists()
    assert (result.outputs / "l").is_symlink()


async def test_variables_come_from_the_spec_and_the_allow_list(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    result = await bench.run(
        ["env"],
        env={"FROM_TASK": "task", "BOTH": "task"},
        EnvironmentVariables=["FROM_ENGINE=engine=1", "BOTH=engine"],
        resources=Resources(cpu=2),
    )
    found = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert found["FROM_TASK"] == "task"
    assert found["FROM_ENGINE"] == "engine=1"
    assert found["BOTH"] == "task"
    assert found["TZ"] == "Europe/Vienna"
    assert found["OMP_NUM_THREADS"] == "2"
    assert "LD_PRELOAD_NOT" not in found


async def test_a_variable_of_the_loader_steers_the_job_only(bench: Bench) -> None:
    """``LD_PRELOAD`` must not load code into what sets the sandbox up, outside of it and perhaps as root."""
    result = await bench.run(
        ["env"], EnvironmentVariables=["LD_PRELOAD=/inputs/nowhere.so", "LD_DEBUG=files"]
    )
    assert "LD_PRELOAD=/inputs/nowhere.so" in result.stdout
    initialised = [line for line in result.stderr.splitlines() if "initialize program" in line]
    assert initialised
    assert all("bwrap" not in line and "setpriv" not in line for line in initialised)


async def test_the_notebook_s_own_python_runs_with_its_packages(bench: Bench) -> None:
    python = await bench.register(**own_python())
    request = bench.request([sys.executable, "-c", "import msgspec, sys; print(sys.prefix)"], Python=python)
    bid = await bench.engine.bid(request.execution)
    if not bid.accepted:
        assert ROOT and "runs as root" in bid.reason
        pytest.skip(bid.reason)
    if "/site-packages/" not in str(Path(pytest.__file__)) or not Path(pytest.__file__).is_relative_to(
        sys.prefix
    ):
        pytest.skip("the tests' packages are not in their interpreter's prefix")
    await bench.engine.start(request)
    result = await bench.finish(request)
    assert result.stdout.strip() == sys.prefix, result


async def test_a_program_that_is_not_there_is_said_so_and_leaves_nothing(bench: Bench) -> None:
    for command in (["no-such-program"], ["/opt/no-such-place/program"]):
        request = bench.request(command)
        with pytest.raises(EngineError, match=command[0]) as failed:
            await bench.engine.start(request)
        assert failed.value.fails_execution
        assert await bench.engine.existing() == []


async def test_a_working_directory_that_is_not_there_is_said_so(bench: Bench) -> None:
    result = await bench.run(["true"], WorkingDirectory="nowhere")
    assert result.outcome.reason is EndReason.ERROR
    assert result.outcome.error is not None
    assert "nowhere" in result.outcome.error.message + result.stderr


# --- limits and ends --------------------------------------------------------------------------------------------------


async def test_memory_beyond_the_limit_is_refused(bench: Bench) -> None:
    code = "data = bytearray({}); print('got it')"
    limit = Resources(memory=200 << 20)
    assert "got it" in (await bench.python(code.format(100 << 20), resources=limit)).stdout
    refused = await bench.python(code.format(300 << 20), resources=limit)
    assert "MemoryError" in refused.stderr
    assert refused.outcome.exit_code == 1


async def test_a_file_beyond_the_disk_limit_is_refused(bench: Bench) -> None:
    code = "open('outputs/big', 'wb').write(b'x' * (2 << 20))"
    refused = await bench.python(code, resources=Resources(disk=1 << 20))
    assert "File too large" in refused.stderr


async def test_a_time_out_ends_the_task_and_says_so(bench: Bench) -> None:
    started = time.monotonic()
    result = await bench.run(["sh", "-c", "echo begin; sleep 50"], timeout_s=0.4)
    assert result.outcome.reason is EndReason.TIMEOUT
    assert result.outcome.error is not None
    assert result.stdout == "begin\n"
    assert time.monotonic() - started < 10


async def test_cancel_lets_the_task_tidy_up_first(bench: Bench) -> None:
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


async def test_clean_removes_everything_and_existing_tells_what_is_left(bench: Bench) -> None:
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
    if ROOT:
        users = {json.loads((bench.data / "process" / each.request.execution.id / "about.json").read_text())["user"]
                 for each in results}  # fmt: skip
        assert len(users) == 12, "each job has a uid of its own"


@pytest.mark.root
async def test_a_full_disk_fails_the_execution_and_says_so(bench: Bench) -> None:
    if not ROOT:
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
    if not ROOT or tier != "bubblewrap":
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


# --- the node goes away -----------------------------------------------------------------------------------------------

NODE = """
import asyncio, os, pickle, sys
sys.path.insert(0, sys.argv[1])
from tests.engines.process.bench import TIERS
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.engines.process import ProcessEngine

async def main():
    tier, options, request = pickle.load(sys.stdin.buffer)
    engine = ProcessEngine(PluginOptions(**options), tiers=[TIERS[tier]()])
    print((await engine.probe()).problem, flush=True)
    print(await engine.start(request), flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


def start_node(bench: Bench, tier: str, request: object) -> subprocess.Popen[bytes]:
    """Start a process that starts ``request`` with an engine of its own; it is killed by the test."""
    root = str(Path(__file__).parents[3])
    options = {"node_id": bench.options.node_id, "data_dir": bench.data, "hidden": bench.options.hidden}
    node = subprocess.Popen(
        [sys.executable, "-c", NODE, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    )
    assert node.stdin is not None
    pickle.dump((tier, options, request), node.stdin)
    node.stdin.close()
    return node


def kill_node(node: subprocess.Popen[bytes]) -> None:
    assert node.stdout is not None
    assert node.stdout.readline().strip() == b"", "the node's engine works"
    assert node.stdout.readline().strip()
    node.kill()
    node.wait(timeout=10)
    node.stdout.close()


async def test_a_restarted_node_finds_what_still_runs_and_gets_all_of_it(bench: Bench, tier: str) -> None:
    command = "echo before; sleep 1.5; echo after; echo done > outputs/done; exit 5"
    request = bench.request(["sh", "-c", command])
    kill_node(start_node(bench, tier, request))
    assert await bench.engine.existing() == [request.execution.id]
    assert await bench.engine.attach(request)
    result = await bench.finish(request)
    assert (result.outcome.reason, result.outcome.exit_code) == (EndReason.EXITED, 5)
    assert result.stdout == "before\nafter\n"
    assert result.text("done") == "done\n"


async def test_a_restarted_node_collects_what_ended_meanwhile(bench: Bench, tier: str) -> None:
    request = bench.request(["sh", "-c", "echo out; exit 6"])
    kill_node(start_node(bench, tier, request))
    await until((bench.data / "process" / request.execution.id / "exit.json").exists)
    assert await bench.engine.attach(request)
    result = await bench.finish(request)
    assert (result.outcome.exit_code, result.stdout) == (6, "out\n")


async def test_a_restarted_node_can_cancel(bench: Bench, tier: str) -> None:
    request = bench.request(["sleep", "50"], timeout_s=None)
    kill_node(start_node(bench, tier, request))
    assert await bench.engine.attach(request)
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


async def test_what_no_node_looks_after_ends_after_its_grace(bench: Bench, tier: str) -> None:
    request = bench.request(["sleep", "50"], timeout_s=None, grace_s=0.5)
    kill_node(start_node(bench, tier, request))
    record = bench.data / "process" / request.execution.id / "exit.json"
    await until(record.exists)
    assert await bench.engine.attach(request)
    outcome = (await bench.finish(request)).outcome
    assert outcome.reason is EndReason.ERROR
    assert outcome.error is not None
    assert "no node supervised" in outcome.error.message


async def test_a_node_that_comes_back_within_the_grace_stops_the_clock(bench: Bench, tier: str) -> None:
    request = bench.request(["sleep", "2.5"], timeout_s=None, grace_s=1.0)
    kill_node(start_node(bench, tier, request))
    again = ProcessEngine(bench.options, tiers=[])
    await again.probe()
    assert await again.attach(request)
    async with asyncio.timeout(20):
        outcome = await again.wait(request.execution.id)
    await again.close()
    assert (outcome.reason, outcome.exit_code) == (EndReason.EXITED, 0)


async def test_what_was_never_started_is_not_there(bench: Bench) -> None:
    assert not await bench.engine.attach(bench.request(["true"]))


async def test_a_supervisor_that_cannot_begin_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # As after an update of the package under a node that runs.
    monkeypatch.setattr(spawn, "_CODE", "import no_such_module_of_ours")
    outcome = (await bench.run(["true"])).outcome
    assert outcome.reason is EndReason.ERROR
    assert outcome.error is not None
    assert "No module named 'no_such_module_of_ours'" in outcome.error.message
    assert "restart the node" in outcome.error.hint


async def test_a_killed_supervisor_takes_its_job_along_and_that_is_said(bench: Bench) -> None:
    marker = f"{time.monotonic_ns() % 10**9}.5"
    request = bench.request(["sh", "-c", f"echo up; sleep {marker} & sleep {marker}"])
    await bench.engine.start(request)
    await until(lambda: all_frames(request.log_path))
    pid = int((bench.data / "process" / request.execution.id / "pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    result = await bench.finish(request)
    assert result.outcome.reason is EndReason.ERROR
    assert result.outcome.error is not None
    assert "supervisor was killed" in result.outcome.error.message
    assert all_frames(request.log_path)[-1].stream == logfile.END

    def left() -> list[int]:
        return [
            each.pid for each in psutil.process_iter(["cmdline"]) if marker in (each.info["cmdline"] or [])
        ]

    await until(lambda: not left(), timeout=5)


async def test_closing_the_engine_leaves_running_tasks_alone(bench: Bench) -> None:
    request = bench.request(["sh", "-c", "sleep 0.5; echo end"])
    await bench.engine.start(request)
    await bench.engine.close()
    assert await bench.engine.attach(request)
    assert (await bench.finish(request)).stdout == "end\n"


def writable(execution: Execution) -> Execution:
    """Ask for the right to write to an execution's one input."""
    assert execution.job is not None
    task = execution.job.task
    given = replace(
        task.input_sources[0], source=SpecConfig(type="localDirectory", params={"readwrite": "true"})
    )
    job = replace(execution.job, tasks=[replace(task, input_sources=[given])])
    return replace(execution, job=job)


# --- bids ------------------------------------------------------------------------------------------------------


async def test_a_task_that_fits_is_accepted(bench: Bench) -> None:
    assert (await bench.engine.bid(make_execution(["true"], inputs=["/inputs/a"]))).accepted


async def test_every_refusal_names_its_reason(bench: Bench, tier: str) -> None:
    cases = {
        "Command": make_execution([]),
        "HTTP network": make_execution(["true"], network=NetworkConfig(type=NetworkType.HTTP)),
        "Bridge network": make_execution(["true"], network=NetworkConfig(type=NetworkType.BRIDGE)),
        "Network.Ports": make_execution(
            ["true"], network=NetworkConfig(type=NetworkType.HOST, ports=[Port(name="x")])
        ),
        "Resources.GPU": make_execution(["true"], resources=ResourcesConfig(gpu="1")),
        "/no/such/python": make_execution(["true"], Python={"Executable": "/no/such/python"}),
        "/no/such/prefix": make_execution(["true"], Python={"Prefixes": ["/no/such/prefix"]}),
        "/no/such/path": make_execution(["true"], Python={"Paths": ["/no/such/path"]}),
        "its own user has registered": make_execution(["true"], Python={"Executable": SYSTEM_PYTHON}),
        "'0123456789ab'": make_execution(["true"], Python={"Environment": "0123456789ab" * 6}),
        "or its parts": make_execution(["true"], Python={"Environment": "0" * 64, "Prefixes": ["/usr"]}),
        "'../x'": make_execution(["true"], inputs=["../x"]),
        "'/inputs/../etc'": make_execution(["true"], inputs=["/inputs/../etc"]),
        "NAME=VALUE": make_execution(["true"], EnvironmentVariables=["=x"]),
        "at Python.Prefixes": make_execution(["true"], Python={"Prefixes": 7}),
        "NUL": make_execution(["a\0b"]),
        "two result paths": make_execution(["true"], outputs=[("a", "/outputs"), ("b", "/outputs/")]),
        "two inputs": make_execution(["true"], inputs=["/inputs", "/inputs/"]),
    }
    if tier == "restricted":
        cases["can't mount, so /data"] = make_execution(["true"], inputs=["/data"])
        cases["can't mount, so /results"] = make_execution(["true"], outputs=[("a", "/results")])
        cases["can't be writable"] = writable(make_execution(["true"], inputs=["/inputs/a"]))
        cases["inside another"] = make_execution(["true"], outputs=[("a", "/outputs"), ("b", "/outputs/b")])
    else:
        cases["/usr for itself"] = make_execution(["true"], inputs=["/usr/share/x"])
        cases["/outputs for itself"] = make_execution(["true"], inputs=["/outputs/x"])
        cases["/etc for itself"] = make_execution(["true"], outputs=[("a", "/etc")])
        assert (await bench.engine.bid(make_execution(["true"], inputs=["/data"]))).accepted
    for part, execution in cases.items():
        bid = await bench.engine.bid(execution)
        assert not bid.accepted, part
        assert bid.reason.startswith("this node "), bid.reason
        assert part in bid.reason
        assert "\n" not in bid.reason


async def test_inputs_and_outputs_appear_at_other_targets_where_the_tier_mounts(
    bench: Bench, tier: str
) -> None:
    if tier != "bubblewrap":
        pytest.skip("refused at bid time")
    data = bench.place / "data"
    data.mkdir()
    (data / "x").write_text("content")
    result = await bench.run(
        ["sh", "-c", "cp /data/x /results/y; touch /data/z"],
        inputs=[InputMount(data, "/data")],
        outputs=[("r", "/results")],
    )
    assert result.text("y") == "content"
    assert "Read-only file system" in result.stderr
    assert not (data / "z").exists()


# --- probing ---------------------------------------------------------------------------------------------------


async def test_the_probe_names_the_tier(bench: Bench, tier: str) -> None:
    availability = await bench.engine.probe()
    assert availability.available
    assert availability.runtime.startswith("bubblewrap " if tier == "bubblewrap" else "restricted process (")


async def test_a_tier_that_confines_nothing_does_not_pass_the_probe(tmp_path: Path) -> None:
    class Loose(Restricted):
        label = "loose"

        def confine(self, launch):
            confined = super().confine(launch)
            confined.landlock_abi, confined.user = 0, -1
            return confined

    if problem := Restricted().problem():
        pytest.skip(problem)
    bench = Bench(tmp_path, Loose())
    assert "could read the node's own files" in await bench.open()
    bid = await bench.engine.bid(make_execution(["true"]))
    assert not bid.accepted
    with pytest.raises(EngineError, match="can't confine"):
        await bench.engine.start(bench.request(["true"]))
    await bench.close()


async def test_without_any_tier_the_engine_is_off_and_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Restricted(abi=0))
    problem = await bench.open()
    assert "no Landlock" in problem
    assert not (await bench.engine.bid(make_execution(["true"]))).accepted


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5])
async def test_an_older_landlock_still_keeps_signals_and_truncation_inside(tmp_path: Path, abi: int) -> None:
    """What old kernels' Landlock lets through is refused by the filter instead (as an ordinary user)."""
    bench = Bench(tmp_path, Restricted(abi=abi))
    if problem := await bench.open():
        pytest.skip(problem)
    file = tmp_path / "open-to-all"
    file.write_text("content")
    file.chmod(0o666)
    bystander = subprocess.Popen(["sleep", "60"])
    code = """
    import os, sys
    pid, path = int(sys.argv[1]), sys.argv[2]
    for act in (lambda: os.kill(pid, 9), lambda: os.truncate(path, 0), lambda: os.open(path, os.O_TRUNC)):
        try:
            act(); print("REACHED")
        except OSError as error:
            print("refused", error)
    """
    try:
        result = await bench.python(textwrap.dedent(code), str(bystander.pid), str(file))
        if host.is_root():  # another uid: ownership guards the process, the filter is not needed
            assert "REACHED" not in result.stdout.splitlines()[0]
        else:
            assert "REACHED" not in result.stdout
            assert file.read_text() == "content"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(timeout=10)
        await bench.close()
