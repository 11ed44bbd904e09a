"""Makes this interpreter look as one on macOS does: the platform's name, and without what only Linux's modules have.

A stand-in for a Mac: it shows what our code does where a call is missing or the platform is asked for, not what macOS
does. What Python and other packages choose by platform is loaded before, since they would look for files of macOS.
"""

from __future__ import annotations

import fcntl
import mimetypes
import os
import resource
import signal
import socket
import sys
import urllib.request

import psutil

LOADED = (mimetypes, psutil, urllib.request)
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


def pretend() -> None:
    """Take away what macOS does not have, and say that this is macOS."""
    for module, names in ONLY_LINUX.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    sys.platform = "darwin"
