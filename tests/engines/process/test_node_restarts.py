"""Process jobs outlive the node that started them, and the next node takes them over."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.engines.process import ProcessEngine
from bacalhau_jupyter.engines.supervised import spawn, starting
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.process.bench import Bench
from tests.engines.running import all_frames
from tests.services.waiting import until

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
    wait_for_start(node)
    end_node(node)


def wait_for_start(node: subprocess.Popen[bytes]) -> None:
    assert node.stdout is not None
    assert node.stdout.readline().strip() == b"", "the node's engine works"
    assert node.stdout.readline().strip()


def end_node(node: subprocess.Popen[bytes]) -> None:
    assert node.stdout is not None
    node.kill()
    node.wait(timeout=30)
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
    request = bench.request(["sleep", "5"], timeout_s=None, grace_s=1.0)
    node = start_node(bench, tier, request)
    wait_for_start(node)
    pid = bench.data / "process" / request.execution.id / "pid"
    await until(lambda: pid.exists() and pid.read_text())
    supervisor = psutil.Process(int(pid.read_text().split()[0]))
    again = ProcessEngine(bench.options, tiers=[])
    # However long the next node takes: the grace begins when the supervisor hears that the first one has gone.
    supervisor.suspend()
    try:
        end_node(node)
        await again.probe()
        assert await again.attach(request)
    finally:
        supervisor.resume()
    async with asyncio.timeout(60):
        outcome = await again.wait(request.execution.id)
    await again.close()
    assert (outcome.reason, outcome.exit_code) == (EndReason.EXITED, 0)


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

    await until(lambda: not left())


async def test_closing_the_engine_leaves_running_tasks_alone(bench: Bench) -> None:
    request = bench.request(["sh", "-c", "sleep 0.5; echo end"])
    await bench.engine.start(request)
    await bench.engine.close()
    assert await bench.engine.attach(request)
    assert (await bench.finish(request)).stdout == "end\n"


async def test_a_supervisor_that_cannot_begin_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # As after an update of the package under a node that runs, where neither way to start one works any more.
    for module in (spawn, starting):
        monkeypatch.setattr(module, "_CODE", "import no_such_module_of_ours")
    monkeypatch.setattr(bench.engine._executions, "_starter", starting.Starter())
    outcome = (await bench.run(["true"])).outcome
    assert outcome.reason is EndReason.ERROR
    assert outcome.error is not None
    assert "No module named 'no_such_module_of_ours'" in outcome.error.message
    assert "restart the node" in outcome.error.hint
