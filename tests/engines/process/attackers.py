"""Programs that attack: Python that prints ``TRIED`` when it begins and ``REACHED`` when it got through."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.engines.process.bench import SYSTEM_PYTHON, Bench

PREFACE = """
import ctypes, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
print("TRIED", flush=True)
def attack(target):
{body}
try:
    if attack(sys.argv[1]):
        print("REACHED", flush=True)
except (OSError, IOError) as error:
    print("refused:", error, flush=True)
"""


def attacker(body: str) -> str:
    return PREFACE.replace("{body}", textwrap.indent(textwrap.dedent(body).strip(), "    "))


def unconfined(code: str, target: str, env: dict[str, str] | None = None) -> str:
    """Run an attacker the way a bare subprocess engine would."""
    assert SYSTEM_PYTHON is not None
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", code, target], capture_output=True, text=True, timeout=60, check=False, env=env
    )
    return done.stdout


async def assert_only_unconfined(bench: Bench, body: str, target: str) -> None:
    code = attacker(body)
    assert "REACHED" in unconfined(code, target), "the attack itself does not work, so the test shows nothing"
    result = await bench.python(code, target)
    assert "TRIED" in result.stdout, result
    assert "REACHED" not in result.stdout, result


def filtered(code: str, target: str, program: bytes) -> str:
    """Run an attacker with nothing but a seccomp filter on it."""
    load = (
        "from bacalhau_jupyter.engines.supervised.supervisor import confine\n"
        f"confine._prctl(38, 1)\nconfine.load_filter(bytes.fromhex({program.hex()!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", load + code, target], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout


# What one process may do to another of the same user unless somebody forbids it; ``target`` is that one's pid.
MEMORY = 'base = int(open(f"/proc/{target}/maps").readline().split("-")[0], 16)\n'
ON_A_PROCESS = {
    "sched_setaffinity": "os.sched_setaffinity(int(target), os.sched_getaffinity(0)); return True",
    "sched_setscheduler": "os.sched_setscheduler(int(target), 3, os.sched_param(0)); return True",
    "sched_setparam": "os.sched_setparam(int(target), os.sched_param(0)); return True",
    "sched_setattr": "return libc.syscall(314, int(target), struct.pack('IIQiIQQQ', 48, 3, 0, 1, 0, 0, 0, 0), 0) == 0",
    "setpriority": "os.setpriority(os.PRIO_PROCESS, int(target), 1); return True",
    "setpriority of a group": "os.setpriority(os.PRIO_PGRP, int(target), 1); return True",
    "ioprio_set": "return libc.syscall(251, 1, int(target), 2 << 13 | 4) == 0",
    "ioprio_set of a group": "return libc.syscall(251, 2, int(target), 2 << 13 | 4) == 0",
    "prlimit": "import resource; resource.prlimit(int(target), resource.RLIMIT_CORE, (0, 0)); return True",
    "ptrace": "return libc.ptrace(16, int(target), 0, 0) == 0",
    "process_vm_readv": MEMORY
    + """buffer = ctypes.create_string_buffer(8)
local, remote = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8), (ctypes.c_size_t * 2)(base, 8)
return libc.process_vm_readv(int(target), local, 1, remote, 1, 0) == 8""",
    "process_madvise": MEMORY
    + """remote = (ctypes.c_size_t * 2)(base, 4096)
return libc.syscall(440, os.pidfd_open(int(target)), remote, ctypes.c_size_t(1), 20, 0) >= 0""",
    "migrate_pages": "mask = (ctypes.c_ulong * 1)(1); return libc.syscall(256, int(target), 2, mask, mask) >= 0",
    "move_pages": "return libc.syscall(279, int(target), ctypes.c_size_t(0), None, None, None, 0) >= 0",
    "kcmp": "return libc.syscall(312, os.getpid(), int(target), 3, 0, 0) >= 0",
    "pidfd_getfd": "return libc.syscall(438, os.pidfd_open(int(target)), 0, 0) >= 0",
    "pidfd_send_signal": "signal.pidfd_send_signal(os.pidfd_open(int(target)), 0); return True",
    "rt_sigqueueinfo": "return libc.syscall(129, int(target), 0, struct.pack('iii116x', 0, 0, -1)) == 0",
    "its memory": "return len(open(f'/proc/{target}/maps').read()) > 0",
    "its descriptors": "return len(os.listdir(f'/proc/{target}/fd')) > 0",
    "its score when memory is short": "return open(f'/proc/{target}/oom_score_adj', 'r+').write('0') > 0",
}
