"""Takes away from an interpreter what only Linux has, also from one without ``site``: the standard library is enough.

Run before another program by ``python -I -S … REPORT CODE …``, or called by `tests.node.as_macos`. What our code asks
Linux for all the same is written to a report, and fails there.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import selectors
import signal
import socket
import sys
import tempfile

ONLY_LINUX = {
    os: (
        "O_DIRECT O_NOATIME O_PATH O_TMPFILE copy_file_range eventfd getresgid getresuid getxattr listxattr "
        "memfd_create pidfd_open posix_fadvise posix_fallocate removexattr sched_getaffinity sched_setaffinity "
        "setns setresgid setresuid setxattr splice unshare waitid"
    ),
    fcntl: "F_ADD_SEALS F_GETPIPE_SZ F_NOTIFY F_OFD_SETLK F_SETPIPE_SZ",
    resource: "RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_SIGPENDING RUSAGE_THREAD prlimit",
    signal: "SIGPWR SIGRTMAX SIGRTMIN SIGSTKFLT pidfd_send_signal sigtimedwait sigwaitinfo",
    socket: "AF_NETLINK AF_VSOCK SOCK_CLOEXEC SOCK_NONBLOCK SO_BINDTODEVICE SO_PEERCRED TCP_QUICKACK TCP_USER_TIMEOUT",
}
_CALLS = ("prctl", "unshare", "setns", "memfd_create", "landlock", "seccomp", "pidfd", "epoll")


def take_away() -> None:
    """Remove the names, and say that this is macOS."""
    for module, names in ONLY_LINUX.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    tempfile._O_TMPFILE_WORKS = False  # type: ignore[attr-defined]
    sys.platform = "darwin"


def watch(report: str) -> None:
    """Let fail what asks Linux for something by another way: a file of its, a function of its library, a socket."""
    if hasattr(select, "epoll"):
        del select.epoll
        selectors.DefaultSelector = selectors.PollSelector  # type: ignore[assignment,misc]
    opened = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    # Where nobody closes it: our processes close what they did not open, up to this number.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report_file = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 4200)
    os.close(opened)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        first = os.fsdecode(arguments[0]) if arguments and isinstance(arguments[0], (str, bytes)) else ""
        if event == "open" and first.startswith(("/proc/", "/sys/")):
            problem = f"open {first}"
        elif event in ("os.listdir", "os.scandir") and first.startswith(("/proc", "/sys")):
            problem = f"{event} {first}"
        elif event == "ctypes.dlsym" and str(arguments[1]).startswith(_CALLS):
            problem = f"library function {arguments[1]}"
        elif event in ("socket.bind", "socket.connect") and str(arguments[1])[:1] == "\0":
            problem = f"{event} {arguments[1]!r}"
        else:
            return
        os.write(report_file, f"{problem}\n".encode())
        raise OSError(f"only on Linux: {problem}")

    sys.addaudithook(look)


def main() -> None:
    """Become a program that was to be run by ``python -I -S -c CODE …``."""
    report, code, *rest = sys.argv[1:]
    take_away()
    watch(report)
    with open(f"{report}.run", "a") as file:  # noqa: PTH123 - this one is run for every process
        file.write("1")
    sys.argv[:] = ["-c", *rest]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
