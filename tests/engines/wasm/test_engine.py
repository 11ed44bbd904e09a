"""How the wasm engine behaves: output, ends, limits, restarts; real modules in real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.wasm.launch import Confinement
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins import logfile
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.running import Result, all_frames
from tests.engines.wasm.bench import MAIN, Bench, compiled, printing, wasi
from tests.services.waiting import until

SLEEP = '(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))'
# A subscription to the monotonic clock at 200: ten minutes from now.
TEN_MINUTES = """(i64.store (i32.const 200) (i64.const 1)) (i32.store8 (i32.const 208) (i32.const 0))
  (i32.store (i32.const 216) (i32.const 1)) (i64.store (i32.const 224) (i64.const 600000000000))
  (i64.store (i32.const 232) (i64.const 1)) (i32.store16 (i32.const 240) (i32.const 0))
  (drop (call $poll (i32.const 200) (i32.const 300) (i32.const 1) (i32.const 400)))"""
SLEEPING = wasi(f'(func (export "_start") {TEN_MINUTES})', SLEEP)
LOOPING = compiled('(module (func (export "_start") (loop $again (br $again))))')
RETURNS = compiled('(module (func (export "_start")))')


def ended(result: Result) -> tuple[EndReason, int, str]:
    return result.outcome.reason, result.outcome.exit_code, result.error


# --- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 5, 255, 256, 4_000_000_000])
async def test_the_exit_code_is_the_module_s_own(bench: Bench, code: int) -> None:
    module = wasi(f'(func (export "_start") (call $exit (i32.const {code})))')
    assert ended(await bench.run(module)) == (EndReason.EXITED, code, "")


async def test_a_module_that_returns_has_succeeded(bench: Bench) -> None:
    assert ended(await bench.run(RETURNS)) == (EndReason.EXITED, 0, "")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("unreachable", "wasm `unreachable` instruction executed (in deep, called by "),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "integer divide by zero"),
        ("(drop (i32.load (i32.const 99999999)))", "out of bounds memory access"),
        ("(call $deep)", "call stack exhausted"),
    ],
)
async def test_a_trap_fails_the_job_for_good_and_says_what_happened_where(
    bench: Bench, body: str, text: str
) -> None:
    module = compiled(f'(module (memory 1) (func $deep {body}) (func (export "_start") (call $deep)))')
    result = await bench.run(module)
    assert (result.outcome.reason, result.outcome.exit_code) == (EndReason.ERROR, 1)
    assert result.error.startswith("the module failed: wasm trap: ")
    assert text in result.error
    assert result.outcome.error is not None and result.outcome.error.fails_job


@pytest.mark.parametrize(
    ("grown", "words"),
    [
        (500, "; it had taken 32.8 MB of the 65.5 MB of memory that it may have"),
        (100, ""),
    ],
)
async def test_a_module_that_gives_up_near_its_limit_of_memory_is_told(
    bench: Bench, grown: int, words: str
) -> None:
    module = compiled(f"""(module (memory (export "memory") 0) (func $allocate (param i32)
        (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then unreachable)))
      (func (export "_start") (call $allocate (i32.const {grown})) (call $allocate (i32.const 1001))))""")
    result = await bench.run(module, memory=1000 * 65536)
    assert "`unreachable` instruction executed (in allocate" in result.error
    assert result.error.partition(")")[2] == words


async def test_what_was_printed_before_a_trap_is_kept(bench: Bench) -> None:
    result = await bench.run(printing("so far", "unreachable"))
    assert (result.stdout, result.outcome.reason) == ("so far", EndReason.ERROR)


async def test_no_line_of_ours_or_of_the_runtime_is_in_the_output(bench: Bench) -> None:
    for result in [await bench.run(printing("x")) for _ in range(5)]:
        assert (result.stdout, result.stderr) == ("x", "")


# --- what a module is given -----------------------------------------------------------------------------------------


async def test_another_function_may_be_called_whatever_it_returns(bench: Bench) -> None:
    module = compiled('(module (func (export "seven") (result i32) (i32.const 7)))')
    assert ended(await bench.run(module, Entrypoint="seven")) == (EndReason.EXITED, 0, "")
    assert ended(await bench.run(module, EntryPoint="seven")) == (EndReason.EXITED, 0, "")


async def test_a_reactor_is_set_up_before_its_function_is_called(bench: Bench) -> None:
    module = compiled("""(module (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 1)))
      (func (export "work") (if (i32.eqz (global.get $ready)) (then unreachable))))""")
    assert ended(await bench.run(module, Entrypoint="work")) == (EndReason.EXITED, 0, "")


async def test_stdout_and_stderr_are_logged_apart_with_an_end_frame(bench: Bench) -> None:
    result = await bench.run(printing("oops\n", stream=2))
    assert (result.stdout, result.stderr) == ("", "oops\n")
    assert all_frames(result.request.log_path)[-1].stream == logfile.END


async def test_output_is_in_the_log_while_the_module_runs(bench: Bench) -> None:
    request = bench.request(printing("no line end", "(loop $again (br $again))"))
    await bench.engine.start(request)
    await until(lambda: b"".join(frame.data for frame in all_frames(request.log_path)) == b"no line end")
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [SLEEPING, LOOPING], ids=["sleeping", "looping"])
async def test_cancelling_ends_a_module_at_once(bench: Bench, module: bytes) -> None:
    request = bench.request(module, timeout_s=None)
    await bench.engine.start(request)
    pid = bench.data / "wasm" / request.execution.id / "pid"
    await until(pid.exists)
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


@pytest.mark.parametrize("module", [SLEEPING, LOOPING], ids=["sleeping", "looping"])
async def test_the_time_limit_ends_a_module(bench: Bench, module: bytes) -> None:
    result = await bench.run(module, timeout_s=0.5)
    assert (result.outcome.reason, result.error) == (EndReason.TIMEOUT, "the execution exceeded its time-out")


GROWS = """(func (export "_start")
  (if (i32.eq (memory.grow (i32.const {more})) (i32.const -1)) (then (call $exit (i32.const 9)))))"""


async def test_a_memory_grows_up_to_its_limit_in_whole_pages(bench: Bench) -> None:
    limit = 10 * 65536 - 1
    assert (await bench.run(wasi(GROWS.format(more=9)), memory=limit)).outcome.exit_code == 0
    assert (await bench.run(wasi(GROWS.format(more=10)), memory=limit)).outcome.exit_code == 9


async def test_a_module_that_needs_more_memory_from_the_start_says_so(bench: Bench) -> None:
    result = await bench.run(
        compiled('(module (memory 2000) (func (export "_start")))'), memory=64 * 1024 * 1024
    )
    assert "memory minimum size of 2000 pages exceeds memory limits" in result.error


async def test_many_memories_get_no_more_together_than_the_process(bench: Bench) -> None:
    memories = " ".join(f"(memory $m{number} 1)" for number in range(40))
    grow = " ".join(
        f"(if (i32.ne (memory.grow $m{number} (i32.const 1000)) (i32.const -1)) "
        f"(then (memory.fill $m{number} (i32.const 0) (i32.const 1) (i32.const 60000000)) "
        "(global.set $grown (i32.add (global.get $grown) (i32.const 1)))))"
        for number in range(40)
    )
    module = compiled(f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      {memories} (export "memory" (memory $m0)) (global $grown (mut i32) (i32.const 0))
      (func (export "_start") {grow} (call $exit (global.get $grown))))""")
    result = await bench.run(module, memory=70 * 1024 * 1024)
    assert 1 <= result.outcome.exit_code <= 6


# --- files ----------------------------------------------------------------------------------------------------------


async def test_a_result_is_found_at_its_path_and_at_its_name(bench: Bench) -> None:
    module = writing("text")
    for directory in ("results", "by-name"):
        result = await bench.run(module(directory), outputs=(("by-name", "/results"),))
        assert ended(result) == (EndReason.EXITED, 0, "")
        assert (result.outputs / "text").read_bytes() == b"hello"


def writing(name: str, parent_fd: int = 0):
    """Return a maker of modules that write ``hello`` to a file in a directory, by its full path."""
    from tests.engines.wasm.files import write_file

    return lambda directory: write_file(f"/{directory}/{name}", b"hello")


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_an_execution_goes_on_when_its_node_restarts_and_its_end_is_heard_of(bench: Bench) -> None:
    request = bench.request(printing("before", TEN_MINUTES_AND_ROOM), timeout_s=None)
    await bench.engine.start(request)
    await until(lambda: any(frame.data for frame in all_frames(request.log_path)))
    await bench.again()
    assert await bench.engine.attach(request)
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


TEN_MINUTES_AND_ROOM = "(loop $again (br $again))"


async def test_what_ended_while_no_node_was_there_is_read_afterwards(bench: Bench) -> None:
    request = bench.request(printing("done", "(call $exit (i32.const 3))"))
    await bench.engine.start(request)
    await bench.again()
    assert await bench.engine.attach(request)
    result = await bench.finish(request)
    assert (result.stdout, result.outcome.exit_code) == ("done", 3)


async def test_starting_twice_runs_once(bench: Bench) -> None:
    request = bench.request(printing("once"))
    await bench.engine.start(request)
    await bench.engine.start(request)
    assert (await bench.finish(request)).stdout == "once"


async def test_cleaning_leaves_nothing(bench: Bench) -> None:
    result = await bench.run(RETURNS)
    await bench.engine.clean(result.request.execution.id)
    assert await bench.engine.existing() == []
    assert [path.name for path in (bench.data / "wasm").iterdir()] == ["node"]


async def test_an_execution_that_is_unknown_is_not_attached(bench: Bench) -> None:
    assert not await bench.engine.attach(bench.request(RETURNS))


# --- where less works -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("landlock", "filters"), [(0, True), (0, False)])
async def test_modules_run_where_the_kernel_confines_nothing_and_the_label_says_so(
    tmp_path: Path, landlock: int, filters: bool
) -> None:
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    bench = Bench(tmp_path, Confinement(landlock, filters))
    assert not await bench.open()
    words = "seccomp" if filters else "not confined by the kernel"
    assert bench.engine.label.endswith(f", {words}")
    assert (await bench.run(printing("hello"))).stdout == "hello"
    await bench.close()


async def test_a_start_that_is_cancelled_leaves_nothing_behind(bench: Bench) -> None:
    starting = asyncio.create_task(bench.engine.start(bench.request(RETURNS)))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert await bench.engine.existing() == []


async def test_a_missing_function_is_named_with_those_that_are_there(bench: Bench) -> None:
    request = bench.request(RETURNS, Entrypoint="nope")
    with pytest.raises(EngineError, match="unable to find the entrypoint 'nope' in the WASM module") as error:
        await bench.engine.start(request)
    assert (error.value.hint, error.value.fails_job) == ("it exports _start", True)
    assert await bench.engine.existing() == []


async def test_a_function_with_parameters_is_not_called(bench: Bench) -> None:
    module = compiled('(module (func (export "add") (param i32 i32)))')
    with pytest.raises(EngineError, match="the entrypoint 'add' takes 2 parameters"):
        await bench.engine.start(bench.request(module, Entrypoint="add"))


async def test_a_link_to_a_file_of_the_node_shares_the_file_and_another_s_file_is_copied(
    bench: Bench,
) -> None:
    ours, theirs = bench.file("ours", b"1"), bench.file("theirs", b"2", ours=False)
    request = bench.request(LOOPING, inputs={"/a": ours, "/b/c": theirs})
    await bench.engine.start(request)
    root = bench.data / "wasm" / request.execution.id / "root"
    assert Path(root / "a").samefile(ours)
    assert not Path(root / "b/c").samefile(theirs) and (root / "b/c").read_bytes() == b"2"
    assert (root / MAIN.lstrip("/")).is_file()
    await bench.engine.cancel(request.execution.id)
    await bench.finish(request)
