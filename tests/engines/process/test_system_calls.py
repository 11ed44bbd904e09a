"""The system call filter by itself: what it answers per call, machine and profile, and that the page agrees."""

from __future__ import annotations

import errno
import platform
import re
import struct
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.supervised.confinement import seccomp, syscalls
from bacalhau_jupyter.engines.supervised.supervisor.confine import OWN_PID as OWN
from tests.engines.process.attackers import attacker, filtered, unconfined

BOTH = seccomp.Profile((seccomp.AF_UNIX, seccomp.AF_INET, seccomp.AF_NETLINK))
OTHER_USER = seccomp.Profile((), ipc=False, landlock_abi=6)
OWN_USER = seccomp.Profile((), own_user=True, ipc=False, landlock_abi=6)
OLD_KERNEL = seccomp.Profile((), own_user=True, ipc=False, landlock_abi=1)
PROFILES = {"bubblewrap": BOTH, "other user": OTHER_USER, "own user": OWN_USER, "Landlock 1": OLD_KERNEL}
MACHINES = ["x86_64", "aarch64"]
ALLOWED, KILLED = "allowed", "killed"


def answer(profile: seccomp.Profile, machine: str, number: int, *arguments: int, audit: int = 0) -> str:
    """Run the filter's program, as the kernel does."""
    data = struct.pack(
        "<IIQ6Q", number, audit or syscalls.MACHINES[machine][0], 0, *arguments, *[0] * (6 - len(arguments))
    )
    code = list(struct.iter_unpack("<HBBI", seccomp.program(profile, machine)))
    at, value = 0, 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x54:
            value &= operand
        elif operation == 0x06:
            if operand == 0x7FFF0000:
                return ALLOWED
            return KILLED if operand == 0x80000000 else errno.errorcode.get(operand & 0xFFFF, "ignored")
        else:
            true = {
                0x15: value == operand,
                0x25: value > operand,
                0x35: value >= operand,
                0x45: value & operand,
            }
            at += if_true if true[operation] else if_false


def number_of(name: str, machine: str) -> int:
    number = syscalls.NUMBERS[name][syscalls.MACHINES[machine][1]]
    if number < 0:
        pytest.skip(f"{machine} has no {name}")
    return number


FOREIGN = 4321
STREAM, DGRAM, RAW, SEQPACKET, CLOEXEC = 1, 2, 3, 5, 0o2000000
CASES = [
    ("socketpair", (1, STREAM), "bubblewrap", ALLOWED),
    ("socketpair", (1, STREAM | CLOEXEC), "own user", ALLOWED),
    ("socketpair", (1, SEQPACKET), "own user", ALLOWED),
    ("socketpair", (1, DGRAM), "bubblewrap", "EPERM"),
    ("socketpair", (1, RAW | CLOEXEC), "bubblewrap", "EPERM"),
    ("socketpair", (1, DGRAM | CLOEXEC), "own user", "EPERM"),
    ("socketpair", (30, STREAM), "bubblewrap", "EPERM"),  # AF_TIPC
    ("socket", (1, STREAM), "bubblewrap", ALLOWED),
    ("socket", (1, STREAM), "own user", "EPERM"),
    ("socket", (16, RAW, 0), "bubblewrap", ALLOWED),
    ("socket", (16, RAW, 4), "bubblewrap", "EPERM"),
    ("socket", (38, SEQPACKET), "bubblewrap", "EPERM"),  # AF_ALG
    ("sched_setaffinity", (0,), "own user", ALLOWED),
    ("sched_setaffinity", (OWN,), "own user", ALLOWED),
    ("sched_setaffinity", (FOREIGN,), "own user", "EPERM"),
    ("sched_setaffinity", (FOREIGN,), "other user", ALLOWED),
    ("sched_setattr", (FOREIGN,), "own user", "EPERM"),
    ("prlimit64", (0,), "own user", ALLOWED),
    ("prlimit64", (FOREIGN,), "own user", "EPERM"),
    ("setpriority", (0, 0), "own user", ALLOWED),
    ("setpriority", (1, OWN), "own user", ALLOWED),
    ("setpriority", (0, FOREIGN), "own user", "EPERM"),
    ("setpriority", (2, 0), "own user", "EPERM"),  # PRIO_USER: all of the user's processes
    ("ioprio_set", (1, 0), "own user", ALLOWED),
    ("ioprio_set", (3, 0), "own user", "EPERM"),
    ("kill", (FOREIGN, 9), "own user", ALLOWED),  # Landlock's own scope answers
    ("kill", (FOREIGN, 9), "Landlock 1", "EPERM"),
    ("kill", (0, 15), "Landlock 1", ALLOWED),
    ("kill", (2**32 - 1, 9), "Landlock 1", "EPERM"),
    ("tgkill", (OWN, OWN, 6), "Landlock 1", ALLOWED),
    ("fcntl", (3, 8), "own user", ALLOWED),
    ("fcntl", (3, 8), "Landlock 1", "EPERM"),
    ("fcntl", (3, 1024), "own user", "EPERM"),
    ("fcntl", (3, 1030), "own user", ALLOWED),  # F_DUPFD_CLOEXEC
    ("ioctl", (3, 0x5401), "own user", ALLOWED),  # TCGETS
    ("ioctl", (3, 0x541B), "own user", ALLOWED),  # FIONREAD
    ("ioctl", (3, 0x40049409), "own user", ALLOWED),  # FICLONE
    ("ioctl", (3, 0x5412), "own user", "EPERM"),  # TIOCSTI
    ("ioctl", (3, 0x5412), "bubblewrap", "EPERM"),
    ("ioctl", (3, 0x5412 | 1 << 32), "bubblewrap", "EPERM"),
    ("ioctl", (3, 0x40086602), "own user", "ENOTTY"),  # FS_IOC_SETFLAGS
    ("ioctl", (3, 0x40806685), "own user", "ENOTTY"),  # FS_IOC_ENABLE_VERITY
    ("ioctl", (3, 0x5000940E), "own user", "ENOTTY"),  # BTRFS_IOC_SUBVOL_CREATE
    ("ioctl", (3, 0x8901), "own user", ALLOWED),
    ("ioctl", (3, 0x8901), "Landlock 1", "EPERM"),  # FIOSETOWN
    ("clone", (0x11,), "bubblewrap", ALLOWED),
    ("clone", (0x10000011,), "bubblewrap", "EPERM"),
    ("personality", (0x40000,), "bubblewrap", ALLOWED),
    ("personality", (0x400000,), "bubblewrap", "EPERM"),  # READ_IMPLIES_EXEC
    ("prctl", (15,), "bubblewrap", ALLOWED),
    ("prctl", (62,), "bubblewrap", "EINVAL"),
    ("shmget", (), "other user", "EPERM"),
    ("shmget", (), "bubblewrap", ALLOWED),
    ("clone3", (), "bubblewrap", "ENOSYS"),
    ("keyctl", (), "bubblewrap", "EPERM"),
    ("chmod", (), "own user", "ignored"),
    ("getxattr", (), "own user", "EOPNOTSUPP"),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "arguments", "profile", "expected"), CASES)
def test_a_call_gets_the_answer_that_its_arguments_deserve(
    name: str, arguments: tuple[int, ...], profile: str, expected: str, machine: str
) -> None:
    reply = answer(PROFILES[profile], machine, number_of(name, machine), *arguments)
    assert reply.replace("ENOTSUP", "EOPNOTSUPP") == expected


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_nobody_looked_at_do_not_exist(machine: str, profile: str) -> None:
    for number in (400, syscalls.LAST + 1, 600, 0x40000000 | 39, 2**32 - 1):
        assert answer(PROFILES[profile], machine, number) == "ENOSYS"
    assert answer(PROFILES[profile], machine, 424 + 10) == ALLOWED  # pidfd_open, beyond the hole


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_table_kill(machine: str) -> None:
    assert answer(BOTH, machine, 1, audit=0x40000003) == KILLED  # AUDIT_ARCH_I386


# --- on this kernel ---------------------------------------------------------------------------------------------------

WORKS = """
import resource, subprocess
os.sched_setaffinity(0, os.sched_getaffinity(0))
os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0))
os.setpriority(os.PRIO_PROCESS, 0, 1)
os.nice(1)
resource.prlimit(os.getpid(), resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
a, b = socket.socketpair()
a.send(b"x")
assert subprocess.run(["true"]).returncode == 0
if sys.argv[1] == "signals":
    child = subprocess.Popen(["sleep", "100"])
    child.terminate()
    child.wait()
signal.signal(signal.SIGUSR1, lambda *_: print("signalled"))
signal.raise_signal(signal.SIGUSR1)
os.kill(os.getpid(), signal.SIGUSR1)
return True
"""


@pytest.mark.parametrize("profile", PROFILES)
def test_a_program_may_do_to_itself_what_it_likes(profile: str) -> None:
    if platform.machine() not in syscalls.MACHINES:
        pytest.skip("no table for this machine")
    mode = "signals" if profile != "Landlock 1" else "none"
    printed = filtered(attacker(WORKS), mode, seccomp.program(PROFILES[profile]))
    assert printed.split() == ["TRIED", "signalled", "signalled", "REACHED"]


OWN_USER_ATTACKS = {
    "renicing all of the user": """
    os.setpriority(os.PRIO_USER, os.getuid(), os.getpriority(os.PRIO_PROCESS, 0))
    return True""",
    "flags by a descriptor for reading": """
    import fcntl
    descriptor = os.open(target, os.O_RDONLY)
    fcntl.ioctl(descriptor, 0x40086602, struct.pack("l", 0x40))
    return True""",
    "a lease": """
    import fcntl
    return fcntl.fcntl(os.open(target, os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK) == 0""",
    "the mode": "os.chmod(target, 0o604); return os.stat(target).st_mode & 0o777 == 0o604",
}


@pytest.mark.parametrize("name", OWN_USER_ATTACKS)
def test_ownership_alone_gives_a_job_nothing(tmp_path: Path, name: str) -> None:
    code = attacker(OWN_USER_ATTACKS[name])
    file = tmp_path / "file"
    file.write_text("x")
    file.chmod(0o600)
    assert "REACHED" not in filtered(code, str(file), seccomp.program(OWN_USER))
    if "REACHED" not in unconfined(code, str(file)):
        pytest.skip("this machine or file system has no such thing")


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[3] / "docs" / "decisions" / "0028-system-calls-of-a-process-job.md"
LISTS = {
    "Refused in both tiers": set(syscalls.NEVER),
    "Not there in both tiers": set(syscalls.NOT_THERE),
    "Filtered by argument in both tiers": {"clone", "socket", "socketpair", "ioctl", "personality", "prctl"},
    "Refused with Landlock": set(syscalls.IPC),
    "Own user": {
        *syscalls.SCHEDULING,
        *syscalls.MODES_AND_TIMES,
        *syscalls.OWNERS,
        *syscalls.XATTRS,
        *syscalls.WATCHES,
        *syscalls.SIGNALS,
        "setpriority",
        "ioprio_set",
        "file_setattr",
        "fcntl",
        "truncate",
        "openat2",
        "open",
        "openat",
        "kill",
        "tgkill",
    },
}
HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


def calls_of_the_page() -> dict[str, list[str]]:
    """Return the calls of each list; an item that begins with calls explains them after the colon."""
    sections = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    calls = {}
    for section in sections:
        title, _, text = section.partition("\n")
        items = re.split(r"^\* ", text.partition("\n## ")[0], flags=re.MULTILINE)
        texts = [item.partition(":")[0] if item.startswith("`") else item for item in items]
        calls[title] = re.findall(r"`([a-z_0-9]+)`", "\n".join(texts))
    return calls


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not beside the tests")
def test_the_page_names_each_call_once_and_as_the_code_does() -> None:
    page = calls_of_the_page()
    everything = [name for names in page.values() for name in names]
    assert sorted(everything) == sorted(set(everything))
    for title, expected in LISTS.items():
        (names,) = [names for heading, names in page.items() if heading.startswith(title)]
        assert set(names) == expected, title
    assert set(syscalls.NUMBERS) == {name for names in LISTS.values() for name in names}
    if HEADER.exists():
        known = set(re.findall(r"__NR_(\w+) \d+", HEADER.read_text()))
        assert known - set(everything) == set(), "newer headers than the walk: look at these calls"


def test_the_numbers_are_the_kernel_s() -> None:
    if not HEADER.exists():
        pytest.skip("no kernel headers for x86-64 on this machine")
    kernel = {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", HEADER.read_text())}
    ours = {name: numbers[0] for name, numbers in syscalls.NUMBERS.items() if name in kernel}
    assert ours == {name: kernel[name] for name in ours}
