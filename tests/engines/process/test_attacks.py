"""What a job tries and must not get, per tier; each attack first succeeds without confinement."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.process.attackers import assert_only_unconfined, attacker, unconfined
from tests.engines.process.bench import SYSTEM_PYTHON, Bench
from tests.engines.running import LIMITS_S
from tests.services.common import is_root
from tests.services.waiting import until

# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["api-key", "repo", "ssh", "data"])
async def test_a_job_reads_no_secret_of_the_node_and_its_user(bench: Bench, secret: str) -> None:
    target = {
        "api-key": bench.api_key,
        "repo": bench.repo,
        "ssh": bench.home / ".ssh" / "id_ed25519",
        "data": bench.data,
    }[secret]
    body = "return os.listdir(target) if os.path.isdir(target) else open(target).read()"
    await assert_only_unconfined(bench, body, str(target))


async def test_a_job_reads_no_home_directory(bench: Bench) -> None:
    home = os.environ.get("HOME", "/")
    if home == "/" or not os.access(home, os.R_OK) or not any(Path(home).iterdir()):
        pytest.skip("this user has no home directory with anything in it")
    await assert_only_unconfined(bench, "return os.listdir(target)", home)


async def test_a_job_sees_no_secret_of_the_node_s_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("BACALHAU_API_KEY", "AWS_SECRET_ACCESS_KEY", "JUPYTER_TOKEN", "JPY_API_TOKEN", "MY_PASSWORD")
    for name in names:
        monkeypatch.setenv(name, "the-secret-value")
    code = attacker("print(dict(os.environ))\nreturn 'the-secret-value' in os.environ.values()")
    assert "REACHED" in unconfined(code, "")
    result = await bench.python(code, "", env={"GIVEN": "yes"})
    assert "'GIVEN': 'yes'" in result.stdout
    assert "REACHED" not in result.stdout
    assert not any(name in result.stdout for name in names)


async def test_a_job_reads_no_other_process_s_environment(
    bench: Bench, victim: subprocess.Popen[bytes]
) -> None:
    await assert_only_unconfined(
        bench, "return b'the-secret' in open(f'/proc/{target}/environ', 'rb').read()", str(victim.pid)
    )


# --- sockets ----------------------------------------------------------------------------------------------------------

CONNECT_UNIX = "s = socket.socket(socket.AF_UNIX); s.connect(target); return True"
CONNECT_TCP = "socket.create_connection(('127.0.0.1', int(target)), timeout=5); return True"


async def test_a_job_connects_to_no_docker_socket(bench: Bench) -> None:
    path = str(bench.place / "docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        Path(path).chmod(0o777)
        await assert_only_unconfined(bench, CONNECT_UNIX, path)
    if os.access("/var/run/docker.sock", os.R_OK | os.W_OK):
        await assert_only_unconfined(bench, CONNECT_UNIX, "/var/run/docker.sock")


async def test_a_job_reaches_no_port_of_the_node(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await assert_only_unconfined(bench, CONNECT_TCP, str(listener.getsockname()[1]))


@pytest.mark.parametrize("host_network", [False, True])
async def test_a_job_reaches_no_abstract_socket(bench: Bench, host_network: bool) -> None:
    name = f"bacalhau-test-{os.getpid()}"
    code = attacker("s = socket.socket(socket.AF_UNIX); s.connect(chr(0) + target); return True")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        assert "REACHED" in unconfined(code, name)
        result = await bench.python(code, name, host_network=host_network)
        assert "TRIED" in result.stdout
        assert "REACHED" not in result.stdout


async def test_a_job_that_asks_for_the_host_network_gets_it(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        result = await bench.python(attacker(CONNECT_TCP), port, host_network=True)
    assert "REACHED" in result.stdout, result


# --- writing ----------------------------------------------------------------------------------------------------------


async def test_a_job_writes_nowhere_but_to_its_outputs(bench: Bench) -> None:
    name = f"bacalhau-attack-{os.getpid()}-{time.monotonic_ns()}"
    open_to_all = bench.place / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    existing = open_to_all / "existing"
    existing.write_text("untouched")
    existing.chmod(0o666)
    places: list[str | Path] = [
        bench.repo,
        bench.data,
        bench.home,
        bench.place,
        open_to_all,
        "/dev/shm",
        "/tmp",
        "/var/tmp",
    ]
    targets = [str(Path(place) / name) for place in places]
    body = f"""
    for path in target.split(":"):
        for act in (lambda: open(path, "w").write("x"), lambda: os.mkdir(path), lambda: os.symlink("/", path)):
            try:
                act()
                print("made", path)
            except OSError:
                pass
    for act in (lambda: open({str(existing)!r}, "w"), lambda: os.truncate({str(existing)!r}, 0),
                lambda: os.unlink({str(existing)!r}), lambda: os.open({str(existing)!r}, os.O_RDONLY | os.O_TRUNC)):
        try:
            act()
        except OSError:
            pass
    open("outputs/allowed", "w").write("yes")
    return True
    """
    result = await bench.python(attacker(body), ":".join(targets))
    assert result.outcome.exit_code == 0, result
    assert result.text("allowed") == "yes"
    assert [path for path in targets if os.path.lexists(path)] == []
    assert existing.read_text() == "untouched"
    # The same program, free to do it: every place was worth trying.
    (bench.place / "outputs").mkdir()
    subprocess.run(
        [SYSTEM_PYTHON or "", "-c", attacker(body), ":".join(targets)],
        cwd=bench.place,
        check=True,
        timeout=30,
    )
    assert all(os.path.lexists(path) for path in targets)
    assert not existing.exists()
    for path in targets:
        Path(path).unlink()


async def test_a_job_s_working_directory_is_its_own(bench: Bench) -> None:
    code = attacker("open('scratch', 'w'); return True")
    result = await bench.python(code, "")
    assert "REACHED" in result.stdout, result
    assert list(result.outputs.iterdir()) == []
    assert "REACHED" in (await bench.python(code, "", WorkingDirectory="outputs")).stdout
    assert "REACHED" not in (await bench.python(attacker("return os.path.exists('scratch')"), "")).stdout


@pytest.mark.parametrize("target", ["inputs/new", "inputs/deep/new", "inputs/moved"])
async def test_a_job_adds_nothing_to_its_inputs(bench: Bench, target: str) -> None:
    source = bench.place / "input.csv"
    source.write_text("x")
    body = """
    if target.endswith("moved"):
        os.rename("inputs/deep", target)
    else:
        open(target, "w")
    return True
    """
    inputs = [InputMount(source, "/inputs/deep/input.csv")]
    assert "REACHED" not in (await bench.python(attacker(body), target, inputs=inputs)).stdout
    moved = "os.rename('inputs', 'elsewhere'); os.mkdir('inputs'); return True"
    if bench.mounts or is_root():
        assert "REACHED" not in (await bench.python(attacker(moved), "", inputs=inputs)).stdout
    # A node of an ordinary user without mounts: the job may move the link, which leads where it can't write.
    behind = "os.rename('inputs', 'elsewhere'); open('elsewhere/deep/new', 'w'); return True"
    assert "REACHED" not in (await bench.python(attacker(behind), "", inputs=inputs)).stdout


async def test_a_job_changes_nothing_of_its_inputs(bench: Bench) -> None:
    source = bench.place / "input"
    (source / "sub").mkdir(parents=True)
    files = [source / "data.csv", source / "sub" / "more.csv"]
    for file in files:
        file.write_text("a,b\n1,2\n")
        file.chmod(0o666)
    for directory in (source / "sub", source):
        directory.chmod(0o777)
    body = """
    for path in target.split(":"):
        for act in (lambda: open(path, "a").write("x"), lambda: os.truncate(path, 0), lambda: os.chmod(path, 0),
                    lambda: os.utime(path, (1, 1)), lambda: os.rename(path, path + ".moved"), lambda: os.unlink(path),
                    lambda: open(os.path.dirname(path) + "/new", "w"), lambda: os.setxattr(path, "user.x", b"y"),
                    lambda: os.fchmod(os.open(path, os.O_RDONLY), 0), lambda: os.link(path, "outputs/linked")):
            try:
                act()
            except OSError:
                pass
    print(sorted(os.listdir("inputs")), open("inputs/data.csv").read())
    """

    def facts() -> list[tuple[str, int, int, bytes]]:
        stats = [(str(path), path.stat()) for path in sorted([source, *source.rglob("*")])]
        return [
            (
                name,
                stat.st_mode,
                stat.st_mtime_ns,
                Path(name).read_bytes() if os.access(name, os.R_OK) and Path(name).is_file() else b"",
            )
            for name, stat in stats
        ]

    before = facts()
    places = ["inputs/data.csv", "inputs/sub/more.csv", *(str(file) for file in files)]
    result = await bench.python(
        attacker(body), ":".join(places), inputs=[InputMount(source, "/inputs")], timeout_s=30
    )
    assert "['data.csv', 'sub'] a,b\n1,2\n" in result.stdout, result
    assert facts() == before
    unconfined(attacker(body), ":".join(str(file) for file in files))
    assert facts() != before


async def test_a_job_changes_no_modes_and_times_of_the_node_s_files(bench: Bench) -> None:
    file = bench.home / "mine"
    file.write_text("x")
    file.chmod(0o640)
    body = """
    for act in (lambda: os.chmod(target, 0o777), lambda: os.utime(target, (1, 1)), lambda: os.chown(target, 0, 0)):
        try:
            act()
        except OSError:
            pass
    """
    before = (file.stat().st_mode, file.stat().st_mtime_ns, file.stat().st_uid)
    await bench.python(attacker(body), str(file))
    assert (file.stat().st_mode, file.stat().st_mtime_ns, file.stat().st_uid) == before
    unconfined(attacker(body), str(file))
    assert file.stat().st_mode != before[0]


# --- other processes and the kernel ----------------------------------------------------------------------------


async def test_a_job_signals_no_process_of_the_host(bench: Bench, victim: subprocess.Popen[bytes]) -> None:
    body = """
    pid = int(target)
    for act in (lambda: os.kill(pid, 9), lambda: libc.syscall(234, pid, pid, 9), lambda: libc.syscall(200, pid, 9)):
        try:
            act()
        except OSError:
            pass
    """
    result = await bench.python(attacker(body), str(victim.pid))
    assert "TRIED" in result.stdout
    assert victim.poll() is None
    unconfined(attacker(body), str(victim.pid))
    assert victim.wait(timeout=30) == -signal.SIGKILL


async def test_a_job_kills_neither_its_supervisor_nor_the_node(bench: Bench) -> None:
    code = attacker("""
    for pid in {os.getppid(), int(target)}:
        if pid > 1:
            try:
                os.kill(pid, 9)
            except OSError:
                pass
    return True
    """)
    result = await bench.python(code, str(os.getpid()))
    # bubblewrap's own first process is a fair target: the job ends only itself with it.
    assert result.outcome.reason is EndReason.EXITED, result


async def test_a_job_gets_no_shared_memory_of_the_host(bench: Bench) -> None:
    if shutil.which("ipcmk") is None:
        pytest.skip("no ipcmk")
    made = subprocess.run(["ipcmk", "-M", "4096", "-p", "0666"], capture_output=True, text=True, check=True)
    identifier = made.stdout.split()[-1]
    try:
        await assert_only_unconfined(
            bench,
            "libc.shmat.restype = ctypes.c_ssize_t; return libc.shmat(int(target), None, 0) != -1",
            identifier,
        )
    finally:
        subprocess.run(["ipcrm", "-m", identifier], check=True)


@pytest.mark.parametrize(
    "body",
    [
        "return libc.unshare(0x10000000) == 0",
        # In a namespace of its own: the unconfined control runs as whoever runs the tests, perhaps as root.
        "return libc.unshare(0x20000) == 0 and libc.mount(b'none', b'/', None, 1 << 14 | 1 << 18, None) == 0",
        "return libc.syscall(250, 0, -3, 1) >= 0",  # keyctl
        "return libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0",  # io_uring_setup
        "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); return True",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW); return True",
        "os.setuid(0); return os.getuid() == 0 and os.geteuid() == 0",
    ],
    ids=["new user namespace", "mount", "keyctl", "io_uring", "vsock", "packet", "setuid 0"],
)
async def test_a_job_gets_no_further_rights_from_the_kernel(bench: Bench, body: str) -> None:
    code = attacker(body)
    if "REACHED" not in unconfined(code, ""):
        pytest.skip("this machine refuses it to everybody")
    result = await bench.python(code, "")
    assert "TRIED" in result.stdout
    assert "REACHED" not in result.stdout


async def test_a_job_runs_without_root_s_identity_and_rights(bench: Bench) -> None:
    code = (
        "import os, ctypes; print(os.getresuid(), os.getresgid(), os.getgroups());"
        "print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0), ctypes.CDLL(None).prctl(21, 0, 0, 0, 0))"
    )
    result = await bench.python(code)
    lines = result.stdout.splitlines()
    assert lines[1] == "1 2", "no_new_privs and a seccomp filter"
    if os.geteuid() == 0:
        uid = int(lines[0].split(",")[0].strip("("))
        assert 60000 < uid < 65534
        assert lines[0] == f"({uid}, {uid}, {uid}) ({uid}, {uid}, {uid}) [{uid}]".replace(
            f"[{uid}]", "[]"
        ) or (lines[0].endswith(f"[{uid}]"))


# --- time ------------------------------------------------------------------------------------------------------

ESCAPE = """
import os, sys, time
for _ in range(2):
    if os.fork():
        time.sleep(100) if _ == 0 else os._exit(0)
    os.setsid()
while True:
    with open(sys.argv[1], "a") as file:
        file.write(".")
    time.sleep(0.02)
"""


def marked(marker: str) -> list[psutil.Process]:
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if marker in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


async def test_a_detached_process_does_not_outlive_the_time_out(bench: Bench) -> None:
    assert SYSTEM_PYTHON is not None
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    # Control: killing the first process and its group, as a simple engine does, leaves the detached one alive.
    beats = bench.place / "beats"
    naive = subprocess.Popen([SYSTEM_PYTHON, "-c", ESCAPE, str(beats), marker], start_new_session=True)
    await until(lambda: beats.exists() and beats.stat().st_size > 3)
    os.killpg(naive.pid, signal.SIGKILL)
    naive.wait(timeout=30)
    survivors = marked(marker)
    assert survivors
    for survivor in survivors:
        # The one that has detached the other may have been seen at its end.
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    await until(lambda: not marked(marker))

    for limit_s in LIMITS_S:
        result = await bench.python(ESCAPE, "outputs/beats", marker, timeout_s=limit_s)
        assert result.outcome.reason is EndReason.TIMEOUT
        assert result.outcome.error is not None
        beats_then = len(result.text("beats")) if (result.outputs / "beats").exists() else 0
        if beats_then > 3:
            break
    assert beats_then > 3
    assert marked(marker) == []
    assert len(result.text("beats")) == beats_then


async def test_a_process_left_behind_ends_with_its_job(bench: Bench) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    code = ESCAPE.replace("time.sleep(100) if _ == 0 else os._exit(0)", "os._exit(0)")
    result = await bench.python(code, "outputs/beats", marker)
    assert result.outcome.exit_code == 0
    assert marked(marker) == []


async def test_a_job_that_ignores_polite_signals_ends_anyway(bench: Bench) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(100)"
    for limit_s in LIMITS_S:
        result = await bench.python(code, timeout_s=limit_s)
        assert result.outcome.reason is EndReason.TIMEOUT
        if result.stdout:
            break
    assert result.stdout == "up\n"
    assert result.outcome.exit_code == 137


async def test_a_fork_bomb_ends_with_its_time_out(bench: Bench) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    code = """
import os, sys, time

def fork():
    # It goes on where no more are to be had: whoever ends it may be late.
    try:
        return os.fork()
    except OSError:
        return -1

for _ in range(6):
    if fork() == 0 and os.getpid() % 2:
        os.setsid()
while True:
    if fork() == 0:
        time.sleep(0.05); os._exit(0)
    time.sleep(0.05)
"""
    result = await bench.python(code, marker, timeout_s=1.0, resources=Resources(memory=256 << 20))
    assert result.outcome.reason is EndReason.TIMEOUT
    assert marked(marker) == []
