"""Modules where the kernel is not Linux: what looks after them, what is bounded, and that nothing of Linux is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.supervised import spawn
from bacalhau_jupyter.engines.supervised.confinement import seccomp
from bacalhau_jupyter.engines.supervised.supervisor import plain
from bacalhau_jupyter.engines.wasm import launch
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.running import all_frames
from tests.engines.wasm.bench import PLAIN, Bench, compiled, printing
from tests.engines.wasm.test_engine import LOOPING
from tests.services.node import ROOT
from tests.services.waiting import until

pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")

FOR_EVER = printing("here", "(loop $again (br $again))")


@pytest.mark.timeout(240)
def test_modules_run_without_anything_that_only_linux_has(tmp_path: Path) -> None:
    report = tmp_path / "report"
    command = [sys.executable, "-m", "tests.engines.wasm.in_plain", str(tmp_path), str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert report.read_text() == ""
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "problem": "",
        "runtime": f"{said_version()}, not confined by the kernel, memory limited per module, CPU not limited",
        "prints": ["exited", 0, "hello", ""],
        "reads": ["exited", 0, "content", ""],
        "writes": "made",
        "HTTP": True,
        "HOST": True,
        "trap": [
            "error",
            1,
            "so far",
            "the module failed: wasm trap: wasm `unreachable` instruction executed (in <wasm function 2>)",
        ],
        "time-out": "timed out",
        "cancel sleeping": "cancelled",
        "cancel looping": "cancelled",
        "attached": True,
        "restarted": "cancelled",
        "left": [],
    }
    # Supervisors, runners and compilers were such interpreters, too.
    assert len(Path(f"{report}.run").read_text()) > 20


def said_version() -> str:
    from bacalhau_jupyter.engines.wasm import runtime

    return f"wasmtime {runtime.find().version}"


def test_what_is_used_depends_on_the_platform() -> None:
    assert not launch.confinement_here("linux").plain
    assert launch.confinement_here("darwin") == launch.Confinement(0, False, plain=True, sums=False)


def test_little_is_used_where_a_linux_can_not_adopt_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "can_adopt", lambda: False)
    assert launch.confinement_here("linux") == launch.confinement_here("darwin")


def test_filters_are_used_where_the_kernel_loads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # As an emulator does that only translates programs of another machine.
    assert launch.confinement_here("linux").filters == ("Seccomp:" in Path("/proc/self/status").read_text())
    monkeypatch.setattr(seccomp, "in_kernel", lambda: False)
    assert not launch.confinement_here("linux").filters


@pytest.fixture
async def bench(tmp_path: Path):
    bench = Bench(tmp_path, PLAIN)
    assert not await bench.open()
    yield bench
    await bench.close()


async def test_what_no_node_looks_after_ends_after_its_grace(bench: Bench) -> None:
    request = bench.request(FOR_EVER, timeout_s=None)
    object.__setattr__(request, "grace_s", 0.3)
    await bench.engine.start(request)
    record = bench.data / "wasm" / request.execution.id / "exit.json"
    await until(lambda: any(frame.data for frame in all_frames(request.log_path)))
    assert not record.exists()
    await bench.engine.close()
    await until(record.exists)
    await bench.again()
    assert await bench.engine.attach(request)
    assert (await bench.finish(request)).error == "no node supervised the execution for 0.3 s"


async def test_a_node_that_comes_back_is_noticed(bench: Bench) -> None:
    request = bench.request(FOR_EVER, timeout_s=None)
    object.__setattr__(request, "grace_s", 60.0)
    await bench.engine.start(request)
    for _ in range(3):
        await bench.again()
        assert await bench.engine.attach(request)
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


async def test_the_job_is_found_and_ended_where_its_supervisor_was_killed_and_it_was_stopped(
    bench: Bench,
) -> None:
    import signal

    request = bench.request(FOR_EVER, timeout_s=None)
    await bench.engine.start(request)
    await until(lambda: any(frame.data for frame in all_frames(request.log_path)))
    state = bench.engine._executions.state(request.execution.id)
    supervisor = state.supervisor()
    assert supervisor is not None and supervisor[1] == plain.UNDATED
    job = int(state.job_file.read_text())
    # It can't notice that its supervisor has gone.
    os.kill(job, signal.SIGSTOP)
    os.kill(supervisor[0], signal.SIGKILL)
    assert state.is_alive()
    await bench.engine.clean(request.execution.id)
    assert not state.path.exists()
    await until(lambda: not running(job))


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


async def test_the_number_of_a_job_is_forgotten_when_it_has_ended(bench: Bench) -> None:
    result = await bench.run(printing("x"))
    state = bench.engine._executions.state(result.request.execution.id)
    assert not state.job_file.exists()


async def test_two_nodes_do_not_look_after_one_directory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "_SWEEP_TIMEOUT_S", 0.1)
    other = Bench(bench.place, PLAIN)
    assert "directory can't be used" in await other.open()
    await other.engine.close()


# --- where the memory of a process can't be limited -----------------------------------------------------------------


@pytest.fixture
async def unsummed(tmp_path: Path):
    bench = Bench(tmp_path, launch.Confinement(0, filters=False, plain=True, sums=False))
    assert not await bench.open()
    yield bench
    await bench.close()


async def test_a_module_has_one_memory_where_their_sum_can_not_be_limited(unsummed: Bench) -> None:
    text = '(module (memory 1) {} (func (export "_start")))'
    assert (await unsummed.run(compiled(text.format("")))).outcome.reason is EndReason.EXITED
    result = await unsummed.run(compiled(text.format("(memory 1)")))
    assert "resource limit exceeded: memory count too high" in result.error
    tables = " ".join("(table 1 funcref)" for _ in range(11))
    assert "table count too high" in (await unsummed.run(compiled(text.format(tables)))).error


async def test_every_module_of_a_job_has_its_memory(unsummed: Bench) -> None:
    library = compiled('(module (memory 1) (func (export "f")))')
    main = compiled('(module (import "lib" "f" (func $f)) (memory 1) (func (export "_start") (call $f)))')
    result = await unsummed.run(main, inputs={"/lib": unsummed.file("lib", library)})
    assert result.outcome.reason is EndReason.EXITED, result.error


async def test_a_table_grows_up_to_a_share_of_the_memory(unsummed: Bench) -> None:
    module = compiled("""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (table $t 1 funcref) (memory (export "memory") 1)
      (func (export "_start")
        (if (i32.eq (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))
          (then (call $exit (i32.const 9))))))""")
    assert (await unsummed.run(module, memory=65536 * 4)).outcome.exit_code == 9
    assert (await unsummed.run(module, memory=65536 * 100)).outcome.exit_code == 0


async def test_a_looping_module_is_cancelled_there_too(unsummed: Bench) -> None:
    request = unsummed.request(LOOPING, timeout_s=None)
    await unsummed.engine.start(request)
    await unsummed.engine.cancel(request.execution.id)
    assert (await unsummed.finish(request)).outcome.reason is EndReason.CANCELLED
