"""What the engine says of places where something is missing: real containers, and a user without namespaces."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.engines.process.container_check import ROOT, UID, site_packages

TIMEOUT_S = 120.0
_PROBE = """
import asyncio, pathlib, tempfile
from bacalhau_jupyter.engines.daemonless.engine import DaemonlessEngine
from bacalhau_jupyter.plugins.options import PluginOptions

class Store:
    async def open(self): ...
    async def close(self): ...

async def main():
    with tempfile.TemporaryDirectory() as place:
        found = await DaemonlessEngine(PluginOptions("n-1", pathlib.Path(place)), Store()).probe()
    print("runtime:", found.runtime)
    print("problem:", found.problem)

asyncio.run(main())
"""
_NEW_USER = 0x10000000
_CAPABILITIES = 41


def in_docker(base_url: str, image: str, *options: str) -> str:
    """Return what the engine says in a container of an ordinary user that may get no new privileges."""
    command = ["docker", "--host", base_url, "run", "--rm", "--init", "--network", "none"]
    command += ["--user", f"{UID}:{UID}", "--security-opt", "no-new-privileges", *options]
    command += ["--volume", f"{ROOT}:/source:ro", "--volume", f"{site_packages()}:/packages:ro"]
    command += ["--env", "PYTHONPATH=/source:/packages", "--env", "PYTHONDONTWRITEBYTECODE=1"]
    command += ["--env", "HOME=/tmp", "--workdir", "/tmp", image, "python3", "-c", _PROBE]
    return _said(command)


def without_namespaces() -> str:
    """Return what the engine says to an ordinary user where user namespaces are off; takes root."""
    with tempfile.TemporaryDirectory() as home:
        shutil.chown(home, UID, UID)
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": home,
            "PYTHONPATH": f"{ROOT}:{site_packages()}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return _said([sys.executable, str(Path(__file__)), "/usr/bin/python3", "-c", _PROBE], env)


def _said(command: list[str], env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _execute(command: list[str]) -> None:
    """Execute a program as an ordinary user in a user namespace below which no other one can be made."""
    library = ctypes.CDLL(None, use_errno=True)
    parent_read, child_write = os.pipe()
    child_read, parent_write = os.pipe()
    child = os.fork()
    if child == 0:
        if library.unshare(_NEW_USER) != 0:
            os._exit(1)
        os.write(child_write, b"x")
        os.read(child_read, 1)
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        for each in range(_CAPABILITIES):
            library.prctl(24, each, 0, 0, 0)
        os.setgroups([])
        os.setgid(UID)
        os.setuid(UID)
        os.execvp(command[0], command)
    os.read(parent_read, 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text("0 0 65536")
    os.write(parent_write, b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    _execute(sys.argv[1:])
