"""What a job must not do to the node's other processes and through their sockets, per tier."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process.tiers import Restricted
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.process.attackers import ON_A_PROCESS, assert_only_unconfined, attacker, unconfined
from tests.engines.process.bench import Bench
from tests.services.common import open_way


@pytest.mark.parametrize("name", ON_A_PROCESS)
async def test_a_job_touches_no_other_process(
    bench: Bench, victim: subprocess.Popen[bytes], name: str
) -> None:
    code = attacker(ON_A_PROCESS[name])
    if "REACHED" not in unconfined(code, str(victim.pid)):
        pytest.skip("this machine refuses it to everybody")
    os.kill(victim.pid, signal.SIGCONT)  # where it was traced
    result = await bench.python(code, str(victim.pid))
    assert "TRIED" in result.stdout, result
    assert "REACHED" not in result.stdout, result


SIGIO = """
import fcntl
ends = os.pipe()
fcntl.fcntl(ends[0], fcntl.F_SETOWN, int(target))
fcntl.fcntl(ends[0], fcntl.F_SETFL, os.O_ASYNC)
os.write(ends[1], b"x")
"""


async def test_the_kernel_sends_no_signal_to_others_for_a_job(
    bench: Bench, victim: subprocess.Popen[bytes]
) -> None:
    code = attacker(SIGIO)
    result = await bench.python(code, str(victim.pid))
    assert "TRIED" in result.stdout
    assert victim.poll() is None
    unconfined(code, str(victim.pid))
    assert victim.wait(timeout=30) == -signal.SIGIO


@pytest.mark.parametrize("name", ["pidfd_send_signal", "rt_sigqueueinfo", "sched_setaffinity", "setpriority"])
async def test_without_landlock_s_scope_the_filter_keeps_a_job_from_others(
    tmp_path: Path, victim: subprocess.Popen[bytes], name: str
) -> None:
    bench = Bench(tmp_path, Restricted(abi=5))
    if problem := await bench.open():
        pytest.skip(problem)
    await assert_only_unconfined(bench, ON_A_PROCESS[name], str(victim.pid))
    kill = attacker("os.kill(int(target), 9); return True")
    for code in (kill, attacker(SIGIO)):
        assert "REACHED" not in (await bench.python(code, str(victim.pid))).stdout
    assert victim.poll() is None
    ended = await bench.python(
        "import os, signal; print(1, flush=True); os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert (ended.stdout, ended.outcome.exit_code) == ("1\n", 128 + signal.SIGTERM)
    await bench.close()


@pytest.mark.parametrize("limit", ["RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_CORE"])
async def test_a_job_raises_none_of_its_limits(bench: Bench, limit: str) -> None:
    code = attacker("""
    import resource
    number = getattr(resource, target)
    hard = resource.getrlimit(number)[1]
    assert hard != resource.RLIM_INFINITY
    resource.setrlimit(number, (hard + 4096, hard + 4096))
    return True
    """)
    result = await bench.python(code, limit, resources=Resources(memory=256 << 20, disk=1 << 20))
    assert "TRIED" in result.stdout, result
    assert "REACHED" not in result.stdout
    assert "not allowed to raise" in result.stderr or "refused" in result.stdout, result


DATAGRAM = (
    "a, b = socket.socketpair(socket.AF_UNIX, {kind})\nreturn a.sendto(b'reached', chr(0) + target) > 0"
)


@pytest.mark.parametrize(
    "kind", ["socket.SOCK_DGRAM", "socket.SOCK_RAW", "socket.SOCK_DGRAM | socket.SOCK_CLOEXEC"]
)
@pytest.mark.parametrize("host_network", [False, True])
async def test_a_pair_of_datagram_sockets_does_not_reach_the_host(
    bench: Bench, kind: str, host_network: bool
) -> None:
    name = f"bacalhau-test-{os.getpid()}-{time.monotonic_ns()}"
    code = attacker(DATAGRAM.format(kind=kind))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(60)
        assert "REACHED" in unconfined(code, name)
        assert listener.recv(100) == b"reached"
        listener.setblocking(False)
        result = await bench.python(code, name, host_network=host_network)
        assert "TRIED" in result.stdout, result
        assert "REACHED" not in result.stdout, result
        with pytest.raises(BlockingIOError):
            listener.recv(100)


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET"])
def test_the_pairs_that_are_left_reach_nobody_even_unconfined(kind: str) -> None:
    name = f"bacalhau-test-{os.getpid()}-{time.monotonic_ns()}"
    code = attacker(f"""
    for act in ("sendto", "connect"):
        for closed in (False, True):
            a, b = socket.socketpair(socket.AF_UNIX, socket.{kind})
            if closed:
                b.close()
            try:
                a.sendto(b"reached", chr(0) + target) if act == "sendto" else a.connect(chr(0) + target)
                print(act, "did not fail")
            except OSError as error:
                print(act, error)
    """)
    with socket.socket(socket.AF_UNIX, getattr(socket, kind)) as listener:
        listener.bind("\0" + name)
        listener.listen()
        listener.setblocking(False)
        assert "TRIED" in unconfined(code, name)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("target", ["/inputs", "/inputs/sub", "/data"])
async def test_a_job_connects_to_no_socket_in_its_inputs(bench: Bench, target: str, writable: bool) -> None:
    mounts = bench.engine._tier is not None and bench.engine._tier.mounts
    if not mounts and (writable or target == "/data"):
        pytest.skip("refused without mounts")
    if writable and os.geteuid() == 0:
        pytest.skip("refused as another user")
    source = bench.place / "input"
    (source / "deep").mkdir(parents=True)
    open_way(source / "deep")
    (source / "file").write_text("x")
    code = attacker("s = socket.socket(socket.AF_UNIX); s.connect(target); return True")
    names = ["s", "deep/s"]
    with contextlib.ExitStack() as stack:
        for name in [*names, "gone"]:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(source / name))
            listener.listen()
            (source / name).chmod(0o777)
        (source / "gone").unlink()
        for name in names:
            assert "REACHED" in unconfined(code, str(source / name))
            places = [f"{target}/{name}", f"{target.lstrip('/')}/{name}"]
            for place in places if mounts else places[1:]:
                result = await bench.python(code, place, inputs=[InputMount(source, target, not writable)])
                assert "TRIED" in result.stdout, result
                assert "REACHED" not in result.stdout, result
    listed = await bench.run(["ls", f"{'' if mounts else '.'}{target}"], inputs=[InputMount(source, target)])
    assert "file" in listed.stdout, listed


async def test_a_job_on_the_host_s_network_asks_netlink_for_routes_only(bench: Bench) -> None:
    await assert_only_unconfined(
        bench, "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4); return True", ""
    )
    code = attacker("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, int(target)); return True")
    assert "REACHED" not in (await bench.python(code, "4", host_network=True)).stdout
    assert "REACHED" in (await bench.python(code, "0", host_network=True)).stdout


async def test_a_job_inherits_nothing_but_its_standard_streams(bench: Bench) -> None:
    code = (
        "import os; found = os.listdir('/proc/self/fd');"
        "print(sorted(int(name) for name in found if os.path.exists('/proc/self/fd/' + name)))"
    )
    result = await bench.python(code)
    assert result.stdout == "[0, 1, 2]\n", result


async def test_a_job_watches_no_directory_of_the_node(bench: Bench) -> None:
    body = "descriptor = libc.inotify_init1(0)\nreturn libc.inotify_add_watch(descriptor, target.encode(), 0x100) > 0"
    await assert_only_unconfined(bench, body, str(bench.repo))


async def test_a_job_reads_no_extended_attributes_of_the_node_s_files(bench: Bench) -> None:
    try:
        os.setxattr(bench.api_key, "user.origin", b"https://x/?token=1")
    except OSError as error:
        pytest.skip(f"this file system has none: {error}")
    await assert_only_unconfined(bench, "return os.getxattr(target, 'user.origin')", str(bench.api_key))


INT80 = """
import mmap
# mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
code = bytes.fromhex("b814000000cd80c3")
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
return ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid()
"""


@pytest.mark.parametrize(
    "body",
    [INT80, "return libc.syscall(ctypes.c_long(0x40000000 | 39)) == os.getpid()"],
    ids=["i386", "x32"],
)
async def test_a_job_has_no_second_system_call_table(bench: Bench, body: str) -> None:
    if "REACHED" not in unconfined(attacker(body), ""):
        pytest.skip("this kernel has none")
    result = await bench.python(attacker(body), "")
    assert "TRIED" in result.stdout
    assert "REACHED" not in result.stdout


ON_THE_KERNEL = {
    "bpf": "return libc.syscall(321, 0, struct.pack('IIII112x', 2, 4, 4, 1), 128) >= 0",
    "perf_event_open": "return libc.syscall(298, struct.pack('IIQ112x', 1, 128, 0), 0, -1, -1, 0) >= 0",
    "userfaultfd": "return libc.syscall(323, 1) >= 0",
    "memfd_secret": "return libc.syscall(447, 0) >= 0",
    "add_key": "return libc.syscall(248, b'user', b'bacalhau-test', b'x', ctypes.c_size_t(1), -2) >= 0",
    "a file's handle": """
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136), ctypes.c_int()
    return libc.name_to_handle_at(-100, b"/usr", handle, ctypes.byref(mount), 0) == 0""",
    "fanotify": "return libc.syscall(300, 0x200, 0) >= 0",
    "ALG": "socket.socket(38, socket.SOCK_SEQPACKET); return True",
    "the kernel's log": "return libc.klogctl(10, None, 0) > 0",
    "memory that is also code": "return libc.personality(0x400000) != -1",
    "typing into a terminal": """
    import fcntl
    master, slave = os.openpty()
    fcntl.ioctl(slave, 0x5412, b"x")
    return True""",
    "the mount table": "return libc.syscall(458, struct.pack('IIQQ', 24, 0, 2**64 - 1, 0), bytes(800), 100, 0) >= 0",
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")
@pytest.mark.parametrize("name", ON_THE_KERNEL)
async def test_a_job_gets_nothing_of_the_kernel_s_administration(bench: Bench, name: str) -> None:
    code = attacker(ON_THE_KERNEL[name])
    if "REACHED" not in unconfined(code, ""):
        pytest.skip("this machine refuses it to everybody")
    result = await bench.python(code, "")
    assert "TRIED" in result.stdout, result
    assert "REACHED" not in result.stdout, result


async def test_a_job_opens_no_message_queue_of_the_host(bench: Bench) -> None:
    name = f"bacalhau-test-{os.getpid()}"
    make = attacker("return libc.syscall(240, target.encode(), os.O_CREAT | os.O_RDWR, 0o666, None) >= 0")
    if platform.machine() != "x86_64" or "REACHED" not in unconfined(make, name):
        pytest.skip("no message queues here")
    try:
        await assert_only_unconfined(
            bench, "return libc.syscall(240, target.encode(), os.O_RDWR, 0, None) >= 0", name
        )
    finally:
        unconfined(attacker("libc.syscall(241, target.encode())"), name)
