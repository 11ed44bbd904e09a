"""Processes that connect to a port and hold the connection, each standing somewhere else than we do."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.models.errors import Unauthorized

HOLD = """
import socket, sys
caller = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
print(caller.getsockname()[1], flush=True)
sys.stdin.read()
"""
# A filter that allows everything: what counts is that there is one.
FILTERED = """
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(1, ctypes.cast(code, ctypes.c_void_p))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    sys.exit("no seccomp here")
"""


@contextmanager
def holding(
    port: int,
    *,
    prefix: Sequence[str] = (),
    prelude: str = "",
    uid: int | None = None,
    python: str = sys.executable,
    name: Sequence[str] = (),
) -> Iterator[int]:
    """Connect from another process for the duration; gives its local port."""
    script = ["-c", prelude + HOLD] if not name else list(name)
    process = subprocess.Popen(
        [*prefix, python, *script, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=uid,
        env={"PATH": os.environ["PATH"]},
        cwd="/",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def can_unshare(flag: str) -> bool:
    """Whether this machine lets us make a namespace of that kind."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", flag, "true"], capture_output=True, timeout=60, check=False).returncode
        == 0
    )


def system_python() -> str | None:
    """A Python that any user may start (ours may lie under a closed home directory)."""
    for candidate in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if Path(candidate).exists():
            return candidate
    return None


async def is_admitted(
    access: Access, headers: Mapping[str, str], transport: asyncio.BaseTransport | None
) -> bool:
    """Whether a request is made in anybody's name."""
    try:
        await access.identify(headers, transport)
    except Unauthorized:
        return False
    return True
