"""What is kept of modules, and modules and jobs that try to harm others by it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.engines.wasm import budget
from bacalhau_jupyter.models.errors import EngineError
from tests.engines.wasm.bench import Bench, compiled, printing
from tests.engines.wasm.test_engine import LOOPING, RETURNS
from tests.services.common import is_root
from tests.services.waiting import until


def kept(bench: Bench) -> list[Path]:
    return sorted((bench.data / "wasm-code").glob("*.code"))


@contextlib.asynccontextmanager
async def taken(places: budget.Places, *, small: bool = True):
    """Take all places to compile, or all but that for small modules."""
    async with places.general, places.general, places.small if small else contextlib.nullcontext():
        yield


async def test_a_module_is_compiled_once_for_all_jobs_also_at_the_same_time(bench: Bench) -> None:
    before = kept(bench)
    results = await asyncio.gather(*(bench.run(printing("same")) for _ in range(4)))
    assert [result.stdout for result in results] == ["same"] * 4
    (added,) = set(kept(bench)) - set(before)
    made = added.stat().st_mtime_ns, added.stat().st_ino
    await bench.run(printing("same"))
    assert added.stat().st_ino == made[1]


async def test_what_is_kept_can_not_be_written_and_belongs_to_the_node(bench: Bench) -> None:
    await bench.run(RETURNS)
    for code in kept(bench):
        assert code.stat().st_mode & 0o222 == 0
        assert code.parent.stat().st_mode & 0o777 == 0o700


async def test_a_module_that_changes_under_our_hands_is_not_kept_under_what_was_read(bench: Bench) -> None:
    # The file changes between its hash and its compilation: other jobs would get what it is then.
    good, evil = printing("good"), printing("evil")
    request = bench.request(good)
    path = request.inputs[0].path

    def change(_: object) -> None:
        path.write_bytes(evil)

    with pytest.raises(EngineError, match="has changed while it waited to be compiled") as error:
        await bench.engine.start(request, change)
    assert error.value.retryable and not error.value.fails_job
    assert await bench.engine.existing() == []
    assert (await bench.run(good)).stdout == "good"


async def test_a_module_that_changes_does_not_fail_others_with_the_same_one(bench: Bench) -> None:
    good = printing("the same")
    changing, other = bench.request(good), bench.request(good)
    waiting = asyncio.Event()
    compiler = bench.engine.compiler
    async with taken(compiler.places):
        first = asyncio.create_task(bench.engine.start(changing, lambda _: waiting.set()))
        await waiting.wait()
        waiting.clear()
        second = asyncio.create_task(bench.engine.start(other, lambda _: waiting.set()))
        await waiting.wait()
        changing.inputs[0].path.write_bytes(printing("evil"))
    with pytest.raises(EngineError, match="has changed"):
        await first
    await second
    assert (await bench.finish(other)).stdout == "the same"


async def test_modules_that_wait_to_be_compiled_are_not_in_memory(bench: Bench) -> None:
    size, count = 8 << 20, 6
    small = printing("large")
    waiting = asyncio.Queue[object]()
    compiler = bench.engine.compiler
    requests = [bench.request(with_ballast(small, size, number)) for number in range(count)]
    async with taken(compiler.places):
        tracemalloc.start()
        try:
            starts = [
                asyncio.create_task(bench.engine.start(request, waiting.put_nowait)) for request in requests
            ]
            for _ in starts:
                await waiting.get()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        for start in starts[1:]:
            start.cancel()
        await asyncio.gather(*starts[1:], return_exceptions=True)
    assert held < size
    await starts[0]
    assert (await bench.finish(requests[0])).stdout == "large"


def with_ballast(module: bytes, size: int, number: int) -> bytes:
    """Return a module with a custom section of so many bytes that nobody needs."""
    content = b"\x01x" + bytes([number]) * size
    length, rest = b"", len(content)
    while rest >= 0x80:
        length, rest = length + bytes([rest & 0x7F | 0x80]), rest >> 7
    return module + b"\0" + length + bytes([rest]) + content


async def test_code_that_was_lost_when_the_machine_went_down_is_compiled_again(bench: Bench) -> None:
    await bench.run(RETURNS)
    for code in kept(bench):
        code.chmod(0o600)
        code.write_bytes(b"")
    assert (await bench.run(RETURNS)).outcome.exit_code == 0


async def test_half_a_file_of_an_earlier_node_is_removed_and_a_broken_one_compiled_again(
    bench: Bench,
) -> None:
    root = bench.data / "wasm-code"
    (root / "0123.code.partial").write_bytes(b"half")
    await bench.run(RETURNS)
    for code in kept(bench):
        code.with_suffix(".names").unlink()
    await bench.again()
    assert not list(root.glob("*.partial"))
    assert (await bench.run(RETURNS)).outcome.exit_code == 0


async def test_the_oldest_machine_code_goes_when_there_is_too_much(bench: Bench) -> None:
    await bench.run(RETURNS)
    bench.engine.compiler._kept = limit = 45_000  # each has about 15 kB
    old = kept(bench)
    running = bench.request(printing("first", "(loop $again (br $again))"), timeout_s=None)
    await bench.engine.start(running)
    for number in range(3):
        await bench.run(printing(f"number {number}"))
    assert sum(code.stat().st_size for code in kept(bench)) <= limit
    assert not set(old) & set(kept(bench))
    # One that runs has its own link.
    assert (bench.data / "wasm" / running.execution.id / "module-0").exists()
    await bench.engine.cancel(running.execution.id)
    await bench.finish(running)


def bomb(functions: int = 60_000) -> bytes:
    """Return a module whose compilation takes minutes."""
    body = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 7)) (local.get 0)))" * 40
    function = compiled(f"(module (func (local i32) {body}))")
    code = function[function.index(b"\x0a", 8) :]
    one = code[code.index(b"\x01") + 1 :]

    def number(value: int) -> bytes:
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    types, bodies = number(functions) + b"\0" * functions, number(functions) + one * functions
    return (
        b"\0asm\1\0\0\0\x01\x04\x01\x60\0\0"
        + (b"\x03" + number(len(types)) + types)
        + (b"\x0a" + number(len(bodies)) + bodies)
    )


def compilers() -> list[psutil.Process]:
    """Return the processes that compile, of this process."""
    word = "bacalhau_jupyter.engines.wasm.guest.compiling"
    return [process for process in psutil.Process().children() if word in command_of(process)]


def command_of(process: psutil.Process) -> str:
    """Return a process's command line; nothing for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


async def test_a_compilation_that_takes_too_long_is_ended(bench: Bench) -> None:
    bench.engine.compiler._timeout_s = 1.0
    with pytest.raises(EngineError, match=r"compiling '/main.wasm' took longer than 1 s") as error:
        await bench.engine.start(bench.request(bomb()))
    assert error.value.fails_job
    assert compilers() == []
    assert not list((bench.data / "wasm-code").glob("*.partial"))


async def test_a_compilation_gets_processor_time_by_the_size_of_its_module(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [budget.cpu_seconds(size) for size in (1, 1 << 20, 26 << 20)] == [23, 23, 98]
    monkeypatch.setattr(budget, "_CPU_S", 1)
    monkeypatch.setattr(budget, "_CPU_S_PER_MIB", 0)
    with pytest.raises(
        EngineError, match=r"took more than 1 s of processor time, .* a module of 24 MB"
    ) as error:
        await bench.engine.start(bench.request(bomb()))
    assert error.value.fails_job
    assert compilers() == []


async def test_small_modules_do_not_wait_for_large_ones(bench: Bench) -> None:
    large = bench.request(with_ballast(printing("large"), budget.SMALL, 1))
    async with taken(bench.engine.compiler.places, small=False):
        # So many large ones as there are places for all take minutes: the next one waits, a small one does not.
        waiting = asyncio.create_task(bench.engine.start(large))
        assert (await bench.run(printing("small"))).stdout == "small"
        assert not waiting.done()
    await waiting
    assert (await bench.finish(large)).stdout == "large"


async def test_a_compilation_that_nobody_waits_for_any_more_is_ended(bench: Bench) -> None:
    module = bomb()
    starts = [asyncio.create_task(bench.engine.start(bench.request(module))) for _ in range(2)]
    await until(compilers)
    (process,) = compilers()
    starts[0].cancel()
    await asyncio.gather(starts[0], return_exceptions=True)
    assert process.is_running() and not starts[1].done()
    starts[1].cancel()
    await asyncio.gather(starts[1], return_exceptions=True)
    await until(lambda: not compilers())
    assert await bench.engine.existing() == []


async def test_the_compiling_process_is_confined(bench: Bench) -> None:
    start = asyncio.create_task(bench.engine.start(bench.request(bomb())))
    await until(compilers)
    (process,) = compilers()
    if not bench.is_plain:
        await until(lambda: "Seccomp:\t2" in Path(f"/proc/{process.pid}/status").read_text())
    await until(lambda: not is_root() or process.uids().real == 65534)
    start.cancel()
    await asyncio.gather(start, return_exceptions=True)


async def test_a_module_that_loops_and_one_that_is_short_do_not_wait_for_each_other(bench: Bench) -> None:
    request = bench.request(LOOPING, timeout_s=None)
    await bench.engine.start(request)
    assert (await bench.run(printing("short"))).stdout == "short"
    await bench.engine.cancel(request.execution.id)
    await bench.finish(request)


NODE = """
import asyncio, os, sys
from pathlib import Path
from bacalhau_jupyter.engines.wasm import launch, runtime
from bacalhau_jupyter.engines.wasm.compiled import Compiler

async def main():
    here = launch.Confinement(0, False, True) if sys.argv[3:] else launch.confinement_here()
    program = here.program(0 if os.geteuid() == 0 else -1)
    compiler = Compiler(
        Path(sys.argv[1]), runtime.find(), landlock_abi=here.landlock_abi, program=program, plain=here.plain
    )
    compiler.prepare_root()
    await compiler.compile(os.open(sys.argv[2], os.O_RDONLY), "bomb", lambda: None)

asyncio.run(main())
"""


async def test_a_node_that_is_killed_while_it_compiles_takes_the_compilation_along(bench: Bench) -> None:
    module = bench.file("bomb", bomb())
    place = bench.data / "wasm-code"
    plain = ["plain"] if bench.is_plain else []
    ready = (lambda status: status and "Threads:\t1\n" not in status) if plain else confined
    with subprocess.Popen([sys.executable, "-c", NODE, str(place), str(module), *plain]) as node:
        await until(lambda: any(ready(status_of(each)) for each in psutil.Process(node.pid).children()))
        (compiling,) = psutil.Process(node.pid).children()
        node.kill()
    await until(lambda: not compiling.is_running() or compiling.status() == psutil.STATUS_ZOMBIE)
    assert list(place.glob("*.partial"))
    await bench.again()
    assert not list(place.glob("*.partial"))


def confined(status: str) -> bool:
    return "Seccomp:\t2" in status


def status_of(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return ""


async def test_code_that_goes_while_room_is_made_is_no_fault(bench: Bench) -> None:
    """As where two compilations end at the same time."""
    (bench.data / "wasm-code" / "gone.code").symlink_to("nowhere")
    assert (await bench.run(printing("kept all the same"))).stdout == "kept all the same"
