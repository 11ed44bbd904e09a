"""A job is a whole process: shared memory, terminals, a name of its own; or one sentence that says what is missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.confinement import shm
from bacalhau_jupyter.models.jobs.resources import Resources
from tests.engines.process.bench import Bench
from tests.engines.running import Result

SCRIPT = """
import asyncio, concurrent.futures, multiprocessing as mp, os, sys
from multiprocessing import shared_memory

def square(x):
    return x * x

def send(pipe):
    pipe.send(square(5))

def piped(method):
    ours, theirs = mp.get_context(method).Pipe()
    child = mp.get_context(method).Process(target=send, args=(theirs,))
    child.start()
    print(ours.recv())
    child.join()

def pooled(method):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=mp.get_context(method)) as pool:
        print(sum(pool.map(square, range(4))))

async def subprocessed():
    child = await asyncio.create_subprocess_exec("echo", "child", stdout=asyncio.subprocess.PIPE)
    print((await child.communicate())[0].decode().strip())

def shared():
    block = shared_memory.SharedMemory(create=True, size=1 << 20)
    block.buf[0] = 7
    print(block.buf[0])
    block.close()
    block.unlink()

def managed():
    with mp.Manager() as manager:
        print(list(manager.list([1, 2])))

def terminal():
    master, slave = os.openpty()
    print(os.isatty(slave))

def threads():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print(sum(pool.map(square, range(4))))

if __name__ == "__main__":
    name, _, method = sys.argv[1].partition(" ")
    found = {"piped": piped, "pooled": pooled, "shared": shared, "managed": managed, "terminal": terminal,
             "threads": threads, "asyncio": lambda: asyncio.run(subprocessed())}[name]
    found(method) if method else found()
"""
PRINTED = {
    "threads": "14",
    "asyncio": "child",
    "piped fork": "25",
    "piped spawn": "25",
    "pooled fork": "14",
    "pooled spawn": "14",
    "pooled forkserver": "14",
    "shared": "7",
    "managed": "[1, 2]",
    "terminal": "True",
}
NEEDS_SOCKETS = {"pooled forkserver", "managed"}
NEEDS_SHARED_MEMORY = {"pooled fork", "pooled spawn", "pooled forkserver", "shared", "managed"}


def works(name: str, bench: Bench) -> bool:
    """Whether the tier can give it."""
    if bench.engine._tier is not None and bench.engine._tier.mounts:
        return True
    if os.geteuid() == 0 and shm.usable():
        return name not in NEEDS_SOCKETS and name != "terminal"
    return name not in NEEDS_SHARED_MEMORY and name != "terminal"


async def run(bench: Bench, name: str, **options: Any) -> Result:
    code = (
        f"open('outputs/job.py', 'w').write({SCRIPT!r})\n"
        f"import os, sys; os.execv(sys.executable, [sys.executable, 'outputs/job.py', {name!r}])"
    )
    return await bench.python(code, **options)


@pytest.mark.parametrize("name", PRINTED)
async def test_what_python_programs_use_works_or_fails_in_one_sentence(bench: Bench, name: str) -> None:
    result = await run(bench, name)
    if works(name, bench):
        assert result.stdout.strip() == PRINTED[name], result
        assert result.outcome.exit_code == 0
    else:
        assert result.outcome.exit_code == 1, result
        last = result.stderr.rstrip().splitlines()[-1]
        assert last.startswith("bacalhau: this job was a restricted process"), result
        assert "bubblewrap" in last
        assert result.stderr.count("bacalhau:") == 1


@pytest.mark.parametrize("name", ["managed", "pooled forkserver"])
async def test_a_job_on_the_host_s_network_has_no_local_sockets_and_gets_a_message(
    bench: Bench, name: str
) -> None:
    result = await run(bench, name, host_network=True)
    assert result.outcome.exit_code == 1, result
    last = result.stderr.rstrip().splitlines()[-1]
    assert last.startswith("bacalhau: this job ")
    assert "no local sockets" in last or "no /dev/shm" in last
    assert (await run(bench, "asyncio", host_network=True)).stdout.strip() == "child"


async def test_a_program_that_fails_for_its_own_reasons_gets_no_advice(bench: Bench) -> None:
    result = await bench.python(
        "import multiprocessing.synchronize; raise ValueError('multiprocessing/managers.py')"
    )
    assert result.outcome.exit_code == 1
    assert "bacalhau:" not in result.stderr


async def test_a_job_knows_its_user_by_name(bench: Bench) -> None:
    mounts = bench.engine._tier is not None and bench.engine._tier.mounts
    if not mounts and (os.geteuid() == 0 or not host.is_known_user(os.geteuid())):
        pytest.skip("a tier without mounts can't add a user to this machine's")
    code = (
        "import getpass, grp, os, pwd, subprocess\n"
        "me = pwd.getpwuid(os.getuid())\n"
        "print(me.pw_name, getpass.getuser(), os.environ['USER'], subprocess.getoutput('whoami'))\n"
        "print(me.pw_uid == os.getuid(), me.pw_gid == os.getgid(), bool(grp.getgrgid(os.getgid()).gr_name))\n"
        "print(me.pw_dir == os.environ['HOME'] == os.path.expanduser('~') and os.access(me.pw_dir, os.W_OK))\n"
    )
    result = await bench.python(code)
    names, facts, home = result.stdout.splitlines()
    assert len(set(names.split())) == 1
    assert facts == "True True True"
    if mounts:
        assert home == "True"


async def test_a_job_sees_no_names_of_this_machine_s_people(bench: Bench) -> None:
    if not (bench.engine._tier and bench.engine._tier.mounts):
        pytest.skip("a tier without mounts shows the machine's own accounts")
    result = await bench.run(["sh", "-c", "cut -d: -f1 /etc/passwd; cat /proc/keys"])
    assert result.stdout.split()[1:] == ["root", "nobody"], result


async def test_shared_memory_is_limited_by_the_memory_granted(bench: Bench) -> None:
    if not (bench.engine._tier and bench.engine._tier.mounts):
        pytest.skip("no /dev/shm of its own")
    code = (
        "import os, errno\nfile = open('/dev/shm/big', 'wb', buffering=0)\nwritten = 0\n"
        "try:\n    while True: written += file.write(bytes(1 << 20))\n"
        "except OSError as error: print(written >> 20, errno.errorcode[error.errno])\n"
        "try: open('/dev/other', 'w')\n"
        "except OSError as error: print(errno.errorcode[error.errno] in ('EROFS', 'EACCES'))"
    )
    result = await bench.python(code, resources=Resources(memory=64 << 20))
    assert result.stdout.split() == ["64", "ENOSPC", "True"], result


async def test_what_a_job_leaves_in_shared_memory_goes_with_it(bench: Bench) -> None:
    name = f"bacalhau-test-{os.getpid()}"
    code = (
        f"import os\ntry: os.open('/dev/shm/{name}', os.O_CREAT | os.O_RDWR, 0o600); print('made')\n"
        "except OSError as error: print(error)\ntry: print(os.listdir('/dev/shm'))\nexcept OSError: print('closed')"
    )
    theirs = Path("/dev/shm", f"{name}-of-somebody")
    theirs.write_text("x")
    try:
        result = await bench.python(code)
        if (os.geteuid() == 0 and shm.usable()) or (bench.engine._tier and bench.engine._tier.mounts):
            assert result.stdout.startswith("made"), result
        assert not Path("/dev/shm", name).exists()
        assert theirs.read_text() == "x"
        assert theirs.name not in result.stdout
        assert not subprocess.run(["ls", f"/dev/shm/{name}"], capture_output=True).stdout
    finally:
        theirs.unlink()
