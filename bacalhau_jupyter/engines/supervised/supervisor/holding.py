"""The network of type ``HTTP``: a program in the job's network that hands its listening socket to the node.

Runs in the supervisor's child, which enters the network namespace that bubblewrap has made; the job waits until the
program listens. Only jobs with such a network load this module.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
else:
    import _signal  # `signal` itself imports enum: five milliseconds

TIMEOUT_S = 10.0
_STEP_S = 0.002
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_GET_OWNER = 0xB701
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_NOBODY = 65534
_LISTENS = b" 00000000:0000 0A "

_libc = ctypes.CDLL(None, use_errno=True)


class NoNetwork(Exception):
    """It can't be made; the text says why."""


def read_child(report: int) -> bytes:
    """Return what bubblewrap first reports: the pid of the job's side."""
    poll = select.poll()
    poll.register(report, select.POLLIN)
    poll.poll(int(TIMEOUT_S * 1000))
    os.set_blocking(report, False)
    try:
        return os.read(report, 4096)
    except BlockingIOError:
        return b""
    finally:
        os.set_blocking(report, True)


def hold(plan: Plan, report: bytes) -> int:
    """Start the program in the job's network and return its pid once it listens.

    Raises
    ------
    NoNetwork
        It does not.
    """
    digits = report.partition(b'"child-pid":')[2].strip().partition(b",")[0].rstrip(b" }\n")
    if not digits.isdigit():
        raise NoNetwork("the sandbox did not start")
    failure_read, failure_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(plan, int(digits), failure_write)
    os.close(failure_write)
    failure = os.read(failure_read, 1000).decode(errors="replace")
    os.close(failure_read)
    if failure:
        raise NoNetwork(failure)
    end = time.monotonic() + TIMEOUT_S
    while not _listens(pid, plan["proxy_port"]):
        if time.monotonic() > end:
            raise NoNetwork("nothing listens in it")
        time.sleep(_STEP_S)
    return pid


def _become(plan: Plan, job: int, failure: int) -> None:
    """Enter the job's network and turn into the program; never returns."""
    try:
        is_root = os.geteuid() == 0
        os.chdir(plan["door"])
        if sys.platform != "linux":
            raise NoNetwork("networks of jobs need Linux")
        program = os.memfd_create("holder", os.MFD_CLOEXEC)
        os.write(program, plan["holder"])
        network = os.open(f"/proc/{job}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        owner = fcntl.ioctl(network, _GET_OWNER)
        if os.fstat(owner).st_ino != os.stat("/proc/self/ns/user").st_ino:  # noqa: PTH116 - as above
            _enter(owner, _NEW_USER)
        _enter(network, _NEW_NET)
        if is_root:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        _libc.prctl(_PR_SET_PDEATHSIG, int(_signal.SIGKILL), 0, 0, 0)
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.setsid()
        os.execve(program, ["holder"], {"BACALHAU_EXECUTION_ID": plan["execution"]})
    except BaseException as error:
        os.write(failure, str(error).encode(errors="replace")[:1000])
    os._exit(127)


def _enter(namespace: int, kind: int) -> None:
    if _libc.setns(namespace, kind) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _listens(pid: int, port: int) -> bool:
    try:
        with open(f"/proc/{pid}/net/tcp", "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
            return b":%04X%s" % (port, _LISTENS) in file.read()
    except OSError:
        return False
