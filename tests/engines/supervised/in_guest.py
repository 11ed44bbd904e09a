"""What runs in the guest: gives a part of the cgroup tree to somebody, and runs tests as that one.

``python3 in_guest.py root|user|marked ARGUMENTS``: root has the whole tree; a user gets a group of its own, alone
(``user``) or together with a program that runs in it already and systemd's mark (``marked``). The arguments are
pytest's.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

UID = 1600
TREE = Path("/sys/fs/cgroup")
_POWER_OFF = 0x4321FEDC
PASSED = "the guest's tests have passed"


def give(group: Path, uid: int) -> None:
    """Delegate a group as systemd does."""
    (TREE / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    group.mkdir()
    for each in (group, group / "cgroup.procs", group / "cgroup.subtree_control", group / "cgroup.threads"):
        os.chown(each, uid, uid)


def run(place: str, arguments: list[str]) -> None:
    """Run pytest."""
    if place != "root":
        group = TREE / "given"
        give(group, UID)
        (group / "cgroup.procs").write_text(str(os.getpid()))
        if place == "marked":
            subprocess.Popen(["sleep", "1000"])
            os.setxattr(group, "trusted.delegate", b"1")
            os.setxattr(group, "user.delegate", b"1")
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
    os.chdir("/tmp")
    options = ["-q", "-rs", "--color=no", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    code = pytest.main([*options, *arguments])
    sys.stdout.write(f"{PASSED}\n" if code == 0 else f"pytest ended with {code}\n")
    sys.stdout.flush()


def main() -> None:
    """Be the first process: reap whatever ends, and switch the machine off after the tests."""
    pid = os.fork()
    if pid == 0:
        run(sys.argv[1], sys.argv[2:])
        os._exit(0)
    while os.wait()[0] != pid:
        pass
    ctypes.CDLL(None).reboot(_POWER_OFF)


if __name__ == "__main__":
    main()
