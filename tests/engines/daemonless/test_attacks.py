"""Hostile images and hostile programs in them: nothing of the host is seen, reached, made or changed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.contract import ImageConfig
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.daemonless.bench import Bench, Trees
from tests.services.images import BUSYBOX, PYTHON
from tests.services.waiting import until

LINUX = ImageConfig("amd64", "linux")
OURS = 1_000_000 + os.getpid()
"""Seconds that these tests' jobs sleep: no other run of them on this machine has the same."""
SCRIPT = ("/bin/sh", "-c", "cat /inputs/f; echo r > /outputs/r; echo done")


def replaced(tree: Path, name: str, target: str | bytes) -> None:
    """Put a link, or a file, in place of whatever a tree has at a name."""
    place = tree / name
    if place.is_dir() and not place.is_symlink():
        for child in sorted(place.rglob("*"), reverse=True):
            child.rmdir() if child.is_dir() and not child.is_symlink() else child.unlink()
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(target) if isinstance(target, str) else place.write_bytes(target)


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Describe all of a tree: kinds, owners, modes, times and contents."""
    facts: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        info = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(info.st_mode) else ""
        facts[str(path)] = (info.st_mode, info.st_uid, info.st_gid, info.st_nlink, info.st_mtime_ns, content)
    return facts


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory of the host in which nothing may appear."""
    directory = tmp_path / "canary"
    directory.mkdir(mode=0o777)
    (directory / "secret").write_text("the-secret-of-the-host")
    return directory


@pytest.fixture
def inputs(tmp_path: Path) -> list[InputMount]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/f").write_text("input\n")
    return [InputMount(tmp_path / "in", "/inputs")]


@pytest.mark.parametrize("prefix", ["", "/oldroot", "/newroot/../oldroot", "../../../../..", "/proc/1/root"])
@pytest.mark.parametrize("names", [("inputs",), ("outputs",), ("inputs", "outputs", "tmp", "sys"), ("etc",)])
async def test_links_of_an_image_lead_nowhere_outside_of_it(
    image_bench: Bench, canary: Path, inputs: list[InputMount], prefix: str, names: tuple[str, ...]
) -> None:
    before = snapshot(canary)

    def spoil(tree: Path) -> None:
        for name in names:
            replaced(tree, name, f"{prefix}{canary}/{name}")

    image = image_bench.define(LINUX, spoil)
    try:
        ran = await image_bench.run({"Image": image, "Entrypoint": list(SCRIPT)}, inputs=inputs)
    except EngineError as error:
        reasons = ("can be mounted", "no such file", "too many levels of symbolic links")
        assert any(reason in error.message for reason in reasons)
    else:
        assert (ran.stdout, ran.stderr) == ("input\ndone\n", "")
        assert (ran.outputs / "r").read_text() == "r\n"
    assert snapshot(canary) == before


async def test_links_of_an_image_lead_no_input_into_one_that_can_be_written_to(
    image_bench: Bench, canary: Path, tmp_path: Path, inputs: list[InputMount]
) -> None:
    before = snapshot(canary)
    writable = tmp_path / "writable"
    writable.mkdir()
    writable.chmod(0o777)
    (writable / "x").symlink_to(f"/oldroot{canary}/made")
    image = image_bench.define(LINUX, lambda tree: replaced(tree, "alias", "/data"))

    with pytest.raises(EngineError, match="lies inside the writable input /data"):
        await image_bench.run(
            {"Image": image, "Entrypoint": ["true"]},
            inputs=[
                InputMount(writable, "/data", read_only=False, jobs_write=True),
                InputMount(inputs[0].path, "/alias/x"),
            ],
        )

    assert snapshot(canary) == before


@pytest.mark.parametrize("kind", ["links", "files"])
async def test_an_image_does_not_choose_what_our_own_directories_are(image_bench: Bench, kind: str) -> None:
    def spoil(tree: Path) -> None:
        for name in ("proc", "dev", "sys"):
            replaced(tree, name, "/tmp" if kind == "links" else b"a file")
        replaced(tree, "etc/hosts", "/nowhere/hosts" if kind == "links" else b"1.2.3.4 evil")
        replaced(tree, "etc/resolv.conf", "/etc/resolv.conf" if kind == "links" else b"nameserver 1.2.3.4")

    ran = await image_bench.sh(
        "grep -c . /proc/self/status > /dev/null && head -c 1 /dev/zero | wc -c; grep -c localhost /etc/hosts; "
        "cat /etc/resolv.conf",
        image_bench.define(LINUX, spoil),
    )
    assert ran.stdout == "1\n2\n" or (kind == "links" and ran.stdout.startswith("1\n2\n"))
    assert "1.2.3.4" not in ran.stdout


@pytest.mark.parametrize(
    "directory", ["/loop", "/loop/x", "/etc/passwd/x", "/up/../../../../x", "/proc/self/x"]
)
async def test_a_working_directory_that_leads_astray(
    image_bench: Bench, canary: Path, directory: str
) -> None:
    def spoil(tree: Path) -> None:
        replaced(tree, "loop", "/loop")
        replaced(tree, "up", f"../..{canary}")

    before = snapshot(canary)
    image = image_bench.define(ImageConfig("amd64", "linux", working_directory=directory), spoil)
    try:
        ran = await image_bench.sh("pwd", image)
    except EngineError as error:
        assert directory in error.message
    else:
        assert ran.stdout == "/x\n" or ran.outcome.error is not None
    assert snapshot(canary) == before


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 100_000,
        b"x" * 3_000_000,
        b":" * 3_000_000,
        b"root:x:99999999999999999999:1::/:\nroot:x:-1:-1::/:\nroot:x:\xc2\xb2:1::/:\n"
        + b"r:x:1:1:\n" * 100_000,
        b"\xff\xfe:x:0:0:\xff:/\xff:/bin/sh\n",
    ],
)
async def test_hostile_files_of_accounts(image_bench: Bench, content: bytes) -> None:
    def spoil(tree: Path) -> None:
        (tree / "etc/passwd").write_bytes(content)
        (tree / "etc/group").write_bytes(content)

    ran = await image_bench.sh("grep ^Uid /proc/self/status | cut -f2", image_bench.define(LINUX, spoil))
    assert ran.stdout == "0\n"
    named = image_bench.define(ImageConfig("amd64", "linux", user="ann"), spoil)
    with pytest.raises(EngineError, match="unable to find user ann"):
        await image_bench.sh("id", named)


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()]
)
async def test_accounts_that_are_no_file(image_bench: Bench, make: Callable[[Path], None]) -> None:
    def spoil(tree: Path) -> None:
        (tree / "etc/passwd").unlink()
        make(tree / "etc/passwd")

    async with asyncio.timeout(60):
        ran = await image_bench.sh("echo 0", image_bench.define(LINUX, spoil))
    assert ran.stdout == "0\n"


async def test_ten_thousand_variables(image_bench: Bench) -> None:
    env = {f"NAME_{number}": f"value {number}" for number in range(10_000)}
    ran = await image_bench.sh("env | grep -c ^NAME_; echo $NAME_9999", env=env)
    assert ran.stdout == "10000\nvalue 9999\n"


@pytest.mark.parametrize("size", [128 * 1024, 3 << 20])
async def test_a_command_that_is_too_long_is_told(image_bench: Bench, size: int) -> None:
    with pytest.raises(EngineError, match="argument list too long"):
        await image_bench.sh("true", env={"A": "x" * size})
    assert await image_bench.engine.existing() == []


async def test_an_image_stays_as_it_is_whatever_a_job_does(image_bench: Bench, store: Trees) -> None:
    tree = store.trees[BUSYBOX].tree
    before = snapshot(tree)
    script = (
        "for f in /bin/* /etc/*; do echo evil >> $f; chmod 4777 $f; chown 7:7 $f; touch -d @1 $f; done;"
        "ln /bin/busybox /hard; echo x > /hard; rm -rf /usr /home /var /bin/sh; mkdir /usr; echo survived"
    )
    assert (await image_bench.sh(script)).stdout == "survived\n"
    assert snapshot(tree) == before


async def test_nothing_of_the_host_is_seen(image_bench: Bench, canary: Path) -> None:
    secrets = image_bench.place / "repo" / "api-key"
    secrets.write_text("the-secret-of-the-host")
    script = (
        f"cat {canary}/secret {secrets} /proc/1/root{canary}/secret /proc/self/cwd/../..{canary}/secret;"
        "ls /oldroot /newroot /job; grep -r the-secret-of /proc/1/environ /proc/mounts /etc /tmp /run /var 2>/dev/null;"
        "ls -d /proc/[0-9]* | wc -l; cat /proc/1/cmdline | tr '\\0' ' ' | cut -c 1-12; cat /proc/mounts"
    )
    ran = await image_bench.sh(script)
    assert "the-secret" not in ran.stdout
    lines = ran.stdout.splitlines()
    assert int(lines[0]) <= 4 and lines[1] == "/bin/sh -c c"
    overlay = next(line for line in lines if line.startswith("overlay / "))
    assert "lowerdir=lower,upperdir=upper,workdir=work" in overlay
    assert str(image_bench.place) not in overlay


async def test_signals_reach_nobody_else(image_bench: Bench) -> None:
    ran = await image_bench.sh("sleep 100 & kill -9 -1; echo alive")
    assert ran.stdout == "alive\n"


FORBIDDEN = {
    "mounting": "libc.mount(b'none', b'/mnt', b'tmpfs', 0, None) == 0",
    "unmounting": "libc.umount2(b'/proc', 2) == 0",
    "namespaces": "libc.unshare(0x10000000) == 0",
    "another root": "os.chroot('/tmp') is None",
    "a device of the host": "os.mknod('/tmp/sda', 0o60600, os.makedev(8, 0)) is None",
    "settings of the kernel": "open('/proc/sys/kernel/core_pattern', 'w').write('x') > 0",
    "magic keys": "open('/proc/sysrq-trigger', 'w').write('h') > 0",
    "the clock": "libc.syscall(227, 0, (ctypes.c_long * 2)(1, 1)) == 0",
    "the kernel's log": "libc.klogctl(3, ctypes.create_string_buffer(99), 99) > 0",
    "its memory": "len(open('/proc/kcore', 'rb').read(9)) > 0",
    "programs in the kernel": "libc.syscall(321, 0, ctypes.create_string_buffer(128), 128) >= 0",
    "keys of the user": "libc.syscall(250, 0, -4, 1) >= 0",
    "tracing": "libc.ptrace(0, 0, 0, 0) == 0",
    "a raw socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW) is not None",
    "other priorities": "os.setpriority(os.PRIO_PROCESS, 0, -5) is None",
    "more memory than granted": "resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40)) is None",
    "changing our own first program": "os.open('/proc/1/exe', os.O_WRONLY) >= 0 and sys.exit(9)",
}


@pytest.fixture
def python(store: Trees, python_tree: Path) -> str:
    """An image with an interpreter."""
    store.add(PYTHON, python_tree, ImageConfig("amd64", "linux"))
    return PYTHON


async def test_root_in_a_job_has_no_rights_on_this_machine(image_bench: Bench, python: str) -> None:
    lines = ["import ctypes, os, resource, socket, sys", "libc = ctypes.CDLL(None, use_errno=True)"]
    lines += ["resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))"]
    for name, attempt in FORBIDDEN.items():
        lines += [
            f"try: print({name!r} if {attempt} else 'refused', flush=True)",
            "except Exception: print('refused')",
        ]
    ran = await image_bench.run({"Image": python, "Entrypoint": ["python3", "-c", "\n".join(lines)]})
    assert ran.stdout.split("\n") == ["refused"] * len(FORBIDDEN) + [""], ran.stdout + ran.stderr


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Path]:
    """A directory with the socket of a program of this host."""
    directory = tmp_path / "run"
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "program.sock"))
        (directory / "program.sock").chmod(0o777)
        listening.listen()
        yield directory


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_socket_in_an_input_is_not_reached(
    image_bench: Bench, python: str, listener: Path, read_only: bool
) -> None:
    code = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/inputs/program.sock'); print('REACHED')"
    ran = await image_bench.run(
        {"Image": python, "Entrypoint": ["python3", "-c", code]},
        inputs=[InputMount(listener, "/inputs", read_only, jobs_write=not read_only)],
    )
    assert "REACHED" not in ran.stdout
    assert "refused" in ran.stderr or "not permitted" in ran.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only a node of root gives its jobs users of their own")
async def test_each_job_of_a_node_of_root_has_users_of_its_own_and_none_is_root(image_bench: Bench) -> None:
    script = f"echo > /outputs/ready; touch /x; exec sleep {OURS}"
    requests = [
        image_bench.request({"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", script]}) for _ in range(2)
    ]
    for request in requests:
        await image_bench.engine.start(request)
        await until((request.outputs[0].path / "ready").exists)

    def users() -> set[int]:
        uids = set()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and f"sleep\0{OURS}\0".encode() in (entry / "cmdline").read_bytes():
                    uids.add(entry.stat().st_uid)
            except OSError:
                continue
        return uids

    try:
        await until(lambda: len(users()) == 2)
        assert all(user >= host.FIRST_IMAGE_ID for user in users())
        for request in requests:
            upper = image_bench.options.data_dir / "daemonless" / request.execution.id / "scratch/upper"
            assert (upper / "x").stat().st_uid in users()
            assert oct(upper.parent.parent.stat().st_mode & 0o777) == "0o700"
    finally:
        for request in requests:
            await image_bench.engine.cancel(request.execution.id)
    for request in requests:
        assert (await image_bench.engine.wait(request.execution.id)).reason is EndReason.CANCELLED


async def test_the_directory_of_devices_takes_no_memory(image_bench: Bench) -> None:
    ran = await image_bench.sh(
        "echo x > /dev/full; echo x > /dev/fill; mkdir /dev/more; echo x > /dev/null && echo x > /dev/shm/a && echo in"
    )
    assert ran.stdout == "in\n"
    assert ran.stderr.count("Read-only file system") == 2


CROWD = """
import ctypes, os, resource, sys
from bacalhau_jupyter.engines.supervised.supervisor.image_root import user_namespace
resource.setrlimit(resource.RLIMIT_NPROC, (20, 20))
assert ctypes.CDLL(None).setns(user_namespace(int(sys.argv[1]), int(sys.argv[2])), 0x10000000) == 0
os.setgroups([]), os.setresgid(0, 0, 0), os.setresuid(0, 0, 0)
end, _ = os.pipe()
def many(user, count):
    read, write = os.pipe()
    if os.fork() == 0:
        os.setresuid(user, user, user)
        for made in range(count):
            try:
                if os.fork() == 0:
                    os.read(end, 1)
            except OSError:
                break
        os.write(write, b"%d" % made)
        os.read(end, 1)
    return int(os.read(read, 9))
made = 0
try:
    made += sum(many(user, 15) for user in range(1, 6))
except OSError:
    print("refused", flush=True)
os.killpg(0, 9)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only a node of root gives its jobs users of their own")
@pytest.mark.parametrize("owner", [host.FIRST_JOB_UID + host.JOB_UIDS - 1, 0])
def test_all_users_of_a_job_share_one_limit_of_processes(owner: int) -> None:
    first = host.image_ids(host.FIRST_JOB_UID + host.JOB_UIDS - 1).start
    command = [sys.executable, "-c", CROWD, str(first), str(owner)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, timeout=60, check=False, text=True, start_new_session=True
    )
    # Owned by this machine's root, they would share nothing.
    assert (done.returncode, done.stdout) == (-9, "refused\n" if owner else "")


@pytest.mark.skipif(os.geteuid() != 0, reason="processes of an ordinary user are not the job's alone")
async def test_a_job_has_a_limited_number_of_processes(image_bench: Bench) -> None:
    assert (await image_bench.sh("grep processes /proc/self/limits")).stdout.split()[2:4] == ["4096"] * 2


async def test_an_image_does_not_make_us_look_for_ever(image_bench: Bench) -> None:
    def spoil(tree: Path) -> None:
        (tree / "deep").mkdir()
        place = os.open(tree / "deep", os.O_RDONLY)
        for _ in range(900):
            os.mkdir("d", dir_fd=place)
            below = os.open("d", os.O_RDONLY, dir_fd=place)
            os.close(place)
            place = below
        os.close(place)
        (tree / "way").symlink_to("/deep" + "/d" * 900)

    config = ImageConfig("amd64", "linux", env=("PATH=" + ":".join(["way"] * 30_000),))
    with pytest.raises(EngineError, match="looking into the image takes too long") as error:
        await image_bench.run({"Image": image_bench.define(config, spoil), "Entrypoint": ["nothing"]})
    assert error.value.fails_job


@pytest.mark.parametrize("target", ["/etc/hosts/x", "/etc/hostname/x"])
async def test_an_input_below_a_file_of_ours(
    image_bench: Bench, inputs: list[InputMount], target: str
) -> None:
    image = image_bench.define(
        LINUX, lambda tree: [(tree / "etc" / n).unlink(True) for n in ("hosts", "hostname")]
    )
    with pytest.raises(EngineError, match=f"{target}, in this image: not a directory"):
        await image_bench.run(
            {"Image": image, "Entrypoint": ["true"]}, inputs=[InputMount(inputs[0].path, target)]
        )


async def test_a_file_of_ours_where_a_link_made_a_directory(image_bench: Bench) -> None:
    def spoil(tree: Path) -> None:
        (tree / "etc/resolv.conf").unlink(missing_ok=True)
        replaced(tree, "etc/hosts", "/etc/resolv.conf/x")

    assert (await image_bench.sh("echo done", image_bench.define(LINUX, spoil))).stdout == "done\n"


async def test_an_error_repeats_no_megabyte(image_bench: Bench) -> None:
    image = image_bench.define(ImageConfig("amd64", "linux", entrypoint=("/" + "x" * 100_000,)))
    with pytest.raises(EngineError) as error:
        await image_bench.run({"Image": image})
    assert len(error.value.message) < 1000


async def test_a_job_whose_supervisor_is_killed_leaves_no_process(image_bench: Bench) -> None:
    request = image_bench.request(
        {"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", f"echo > /outputs/ready; sleep {OURS}"]}
    )
    await image_bench.engine.start(request)
    await until(lambda: (request.outputs[0].path / "ready").exists())
    state = image_bench.options.data_dir / "daemonless" / request.execution.id
    os.kill(int((state / "pid").read_text().split()[0]), 9)
    async with asyncio.timeout(60):
        outcome = await image_bench.engine.wait(request.execution.id)
    assert outcome.reason is EndReason.ERROR
    await image_bench.engine.clean(request.execution.id)
    assert not state.exists()

    def left() -> bool:
        names = [entry / "cmdline" for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return any(f"sleep\0{OURS}\0".encode() in _read(name) for name in names)

    # The kernel ends them, when it comes to it.
    await until(lambda: not left())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
