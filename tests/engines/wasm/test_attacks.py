"""Modules that try to get out."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.engines.wasm.launch import Confinement
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.wasm.bench import Bench, printing, wasi
from tests.engines.wasm.files import (
    CREATE,
    NO_DIRECTORY,
    READ,
    TRUNCATE,
    in_directory,
    opening,
    read_file,
    write_file,
)
from tests.services.common import is_root
from tests.services.waiting import until

ACCES, NOENT, PERM, ROFS = 2, 44, 63, 69
"""WASI's error numbers."""
REFUSED = (ACCES, PERM, ROFS)


def directory_of(place: Path, **files: bytes) -> Path:
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


# --- paths ----------------------------------------------------------------------------------------------------------


async def test_an_input_is_read_and_lists_below_the_root(bench: Bench, tmp_path: Path) -> None:
    data = directory_of(tmp_path / "data", text=b"content")
    assert (await bench.run(read_file("/data", "text"), inputs={"/data": data})).stdout == "content"
    file = bench.file("file", b"a file alone")
    assert (
        await bench.run(read_file("/", "some/where"), inputs={"/some/where": file})
    ).stdout == "a file alone"


@pytest.mark.parametrize("around", ["/data", "/outputs"])
async def test_a_file_that_a_directory_would_hide_is_refused(
    bench: Bench, tmp_path: Path, around: str
) -> None:
    data = directory_of(tmp_path / "data", text=b"content")
    file = bench.file("file", b"a file alone")
    inputs = {"/data": data, f"{around}/sub/where": file}
    with pytest.raises(EngineError, match=f"can't see the file {around}/sub/where inside {around}") as error:
        await bench.engine.start(bench.request(read_file("/", "data/text"), inputs=inputs))
    assert error.value.fails_job
    assert await bench.engine.existing() == []


async def test_directories_and_modules_may_lie_inside_a_directory(bench: Bench, tmp_path: Path) -> None:
    outer, inner = (directory_of(tmp_path / name, text=name.encode()) for name in ("outer", "inner"))
    module = bench.file("module", read_file("/data/sub", "text"))
    inputs = {"/data": outer, "/data/sub": inner, "/data/main.wasm": module}
    assert (await bench.run(inputs=inputs, EntryModule="/data/main.wasm")).stdout == "inner"


async def test_the_name_of_a_result_hides_no_file(bench: Bench) -> None:
    file = bench.file("file", b"a file alone")
    options = {"inputs": {"/made/file": file}, "outputs": [("made", "/elsewhere")]}
    # Where a program has a directory /made, it looks for the file in there.
    assert (await bench.run(read_file("/made", "file"), **options)).outcome.exit_code == NO_DIRECTORY
    assert (await bench.run(read_file("/", "made/file"), **options)).stdout == "a file alone"


@pytest.mark.parametrize(
    "path", ["../secret", "sub/../../secret", "../../../../../../etc/passwd", "/etc/passwd"]
)
async def test_no_path_leads_out_of_an_input(bench: Bench, tmp_path: Path, path: str) -> None:
    data = directory_of(tmp_path / "around" / "data", text=b"")
    (data / "sub").mkdir()
    (data.parent / "secret").write_bytes(b"secret")
    result = await bench.run(read_file("/data", path), inputs={"/data": data})
    assert result.outcome.exit_code in REFUSED
    assert result.stdout == ""


@pytest.mark.parametrize("target", ["../secret", "{around}/secret", "sub/up/secret"])
async def test_no_link_in_an_input_leads_out_of_it(bench: Bench, tmp_path: Path, target: str) -> None:
    around = tmp_path / "around"
    data = directory_of(around / "data", text=b"inside")
    (data / "sub").mkdir()
    (around / "secret").write_bytes(b"secret")
    (data / "sub/up").symlink_to("../..")
    (data / "link").symlink_to(target.format(around=around))
    (data / "inner").symlink_to("text")
    result = await bench.run(read_file("/data", "link"), inputs={"/data": data})
    assert result.outcome.exit_code in (*REFUSED, NOENT)
    assert result.stdout == ""
    # A link that stays inside is followed.
    assert (await bench.run(read_file("/data", "inner"), inputs={"/data": data})).stdout == "inside"


async def test_a_module_can_make_no_link_that_leads_out_of_its_results(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    target = str(secret)
    link = f"""(call $ok (call $symlink (i32.const 4096) (i32.const {len(target)}) (local.get $dir) (i32.const 1024)
      (global.get $size)))"""
    module = in_directory("/outputs", "link", link, target.encode())
    assert (await bench.run(module)).outcome.exit_code in (*REFUSED, NOENT)
    relative = in_directory(
        "/outputs", "link", link.replace(str(len(target)), "20") + opening(0, READ), b"../../../../../../.."
    )
    assert (await bench.run(relative)).outcome.exit_code in (*REFUSED, NOENT)


@pytest.mark.parametrize("flags", [0, CREATE | TRUNCATE])
async def test_a_module_changes_nothing_in_an_input_or_at_the_root(
    bench: Bench, tmp_path: Path, flags: int
) -> None:
    data = directory_of(tmp_path / "data", text=b"content")
    file = bench.file("alone", b"alone")
    inputs = {"/data": data, "/alone": file}
    for path in ("/data/text", "/data/new", "/alone", "/new"):
        result = await bench.run(write_file(path, b"changed", flags), inputs=inputs)
        assert result.outcome.exit_code in (*REFUSED, NOENT)
    assert [path.name for path in data.iterdir()] == ["text"]
    assert ((data / "text").read_bytes(), file.read_bytes()) == (b"content", b"alone")


async def test_a_file_that_the_job_s_user_may_not_read_arrives_as_a_copy(
    bench: Bench, tmp_path: Path
) -> None:
    data = directory_of(tmp_path / "data", text=b"private")
    (data / "text").chmod(0o600)
    data.chmod(0o700)
    assert (await bench.run(read_file("/data", "text"), inputs={"/data": data})).stdout == "private"
    assert (data / "text").stat().st_mode & 0o777 == 0o600


async def test_an_input_that_was_replaced_is_not_mounted(bench: Bench, tmp_path: Path) -> None:
    data = directory_of(tmp_path / "data", text=b"checked")
    request = bench.request(read_file("/data", "text"), inputs={"/data": data})
    from bacalhau_jupyter.plugins.inputs import check_inputs

    object.__setattr__(request, "inputs", check_inputs(request.inputs, "WASM"))
    data.rename(tmp_path / "moved")
    directory_of(data, text=b"replaced")
    with pytest.raises(EngineError, match="something else lies at"):
        await bench.engine.start(request)
    assert await bench.engine.existing() == []


async def test_results_are_the_node_s(bench: Bench) -> None:
    result = await bench.run(write_file("/outputs/text", b"mine"))
    text = result.outputs / "text"
    assert (text.read_bytes(), text.stat().st_uid) == (b"mine", os.geteuid())


async def test_a_directory_that_is_none_of_its_own_has_no_name(bench: Bench) -> None:
    assert (await bench.run(read_file("/etc", "passwd"))).outcome.exit_code == NO_DIRECTORY


TOO_LARGE = 22


async def test_a_file_beyond_the_disk_of_the_job_is_an_error_for_the_module(bench: Bench) -> None:
    request = bench.request(write_file("/outputs/text", b"12345678"))
    object.__setattr__(request, "resources", Resources(disk=4))
    await bench.engine.start(request)
    result = await bench.finish(request)
    assert (result.error, result.outcome.exit_code) in (
        ("disk limit exceeded", code) for code in (TOO_LARGE, 0)
    )
    assert (result.outputs / "text").stat().st_size <= 4


async def test_many_inputs_are_seen(bench: Bench, tmp_path: Path) -> None:
    inputs = {f"/data/{number}": directory_of(tmp_path / f"{number}", text=b"x") for number in range(600)}
    assert (await bench.run(read_file("/data/599", "text"), inputs=inputs)).stdout == "x"


# --- the process ----------------------------------------------------------------------------------------------------


async def started(bench: Bench) -> tuple[str, psutil.Process]:
    """Start a module that never ends; return its execution and its process."""
    request = bench.request(printing("here", "(loop $again (br $again))"), timeout_s=None)
    await bench.engine.start(request)
    await until(lambda: request.log_path.exists() and request.log_path.stat().st_size > 13)
    pid = int((bench.data / "wasm" / request.execution.id / "pid").read_text().split()[0])
    (child,) = psutil.Process(pid).children()
    return request.execution.id, child


async def test_a_module_s_process_holds_no_file_of_the_node_s(bench: Bench) -> None:
    os.set_inheritable(leaked := os.open(__file__, os.O_RDONLY), True)
    try:
        _, process = await started(bench)
    finally:
        os.close(leaked)
    places = {str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
    ours = {place for place in places if place.startswith("/") and place != "/dev/null"}
    assert {Path(place).name for place in ours} <= {"root", "outputs", "module-0"} | (
        {"lock"} if bench.is_plain else set()
    )
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert bench.is_plain or ("NoNewPrivs:\t1" in status and "Seccomp:\t2" in status)
    assert not is_root() or process.uids().real >= 61500


TRIES = """
import os, sys, threading
from bacalhau_jupyter.engines.supervised.supervisor import confine
confine.give_up_rights([], -1, 0, bytes.fromhex(sys.argv[1]))
thread = threading.Thread(target=lambda: print("thread")); thread.start(); thread.join()
for name, call in (("fork", os.fork), ("exec", lambda: os.execv("/bin/true", ["true"]))):
    try:
        call()
    except OSError as error:
        print(name, error.strerror)
"""


def test_the_filter_lets_a_process_make_threads_and_nothing_else() -> None:
    program = Confinement(0, True).program(-1)
    done = subprocess.run(
        [sys.executable, "-c", TRIES, program.hex()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "thread",
        "fork Operation not permitted",
        "exec Operation not permitted",
    ]


async def test_a_killed_supervisor_takes_its_module_along(bench: Bench) -> None:
    execution_id, process = await started(bench)
    waiting = asyncio.create_task(bench.engine.wait(execution_id))
    os.kill(process.ppid(), signal.SIGKILL)
    outcome = await waiting
    assert outcome.reason is EndReason.ERROR and outcome.error is not None
    assert outcome.error.message == "the execution's supervisor was killed"
    await until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


async def test_a_killed_module_is_an_error_in_a_sentence(bench: Bench) -> None:
    execution_id, process = await started(bench)
    process.send_signal(signal.SIGABRT)
    outcome = await bench.engine.wait(execution_id)
    assert outcome.error is not None
    assert outcome.error.message == "the process that ran it ended without a word (exit code 134)"


@pytest.mark.timeout(300)
async def test_a_gigabyte_of_output_passes_and_what_is_over_the_limit_is_dropped(bench: Bench) -> None:
    big = wasi("""(data (i32.const 0) "\\00\\10\\00\\00\\00\\e0\\00\\00")
      (func (export "_start") (local $left i32) (local.set $left (i32.const 20000))
        (loop $next (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
          (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))""")
    request = bench.request(big, timeout_s=250.0)
    object.__setattr__(request, "log_limit", 1_000_000)
    await bench.engine.start(request)
    async with asyncio.timeout(280):
        outcome = await bench.engine.wait(request.execution.id)
    assert (outcome.reason, outcome.exit_code) == (EndReason.EXITED, 0)
    assert 1_000_000 <= request.log_path.stat().st_size < 1_100_000
