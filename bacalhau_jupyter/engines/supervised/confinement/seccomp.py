"""Seccomp filters: which system calls a job may not make, as a classic BPF program.

Two profiles share one list of what no job needs (mounts, namespaces, kernel administration, other processes'
memory, io_uring, keyrings). The *namespaced* one adds nothing but socket families; the *restricted* one has to make
up for missing namespaces: no sockets, no System V IPC, and as the node's own user nothing that the kernel guards by
ownership alone (file metadata, other processes' scheduling and limits, watches).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import platform
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from bacalhau_jupyter.engines.supervised.confinement import syscalls
from bacalhau_jupyter.engines.supervised.supervisor.confine import OWN_PID

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

# struct seccomp_data: nr, arch, instruction_pointer, args[6]; little endian on both machines that we know.
_NR_AT = 0
_ARCH_AT = 4
_ARGS_AT = 16

_LD_ABS = 0x20
_JEQ = 0x15
_JGT = 0x25
_JGE = 0x35
_JSET = 0x45
_AND = 0x54
_RET = 0x06

_CLONE_NEW = 0x7E020080
"""CLONE_NEWTIME (0x80), NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

_CLONE_THREAD = 0x00010000

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
_SOCK_TYPE_MASK, _SOCK_STREAM, _SOCK_SEQPACKET = 0xF, 1, 5
_PRIO_PROCESS, _PRIO_PGRP = 0, 1
_IOPRIO_PROCESS, _IOPRIO_PGRP = 1, 2
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, UNAME26 with both, ADDR_NO_RANDOMIZE, and asking."""
_PR_SCHED_CORE = 62
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_O_ACCMODE, _O_TRUNC = 0o3, 0o1000

_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY, _F_SETDELEG = 8, 10, 15, 1024, 1026, 1040

_TIOCSTI, _TIOCLINUX, _TIOCCONS = 0x5412, 0x541C, 0x541D
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
_TYPE_MASK, _TTY_TYPE, _SOCKET_TYPE = 0xFF00, 0x5400, 0x8900
_FILE_IOCTLS = (
    0x00000002,  # FIGETBSZ
    0x80086601,  # FS_IOC_GETFLAGS
    0x801C581F,  # FS_IOC_FSGETXATTR
    0x80087601,  # FS_IOC_GETVERSION
    0xC020660B,  # FS_IOC_FIEMAP
    0x40049409,  # FICLONE
    0x4020940D,  # FICLONERANGE
)

_Code = list[tuple[int, int, int, int]]
"""Instructions: operation, jump if true, jump if false, operand."""


@dataclass(frozen=True)
class Profile:
    """What to filter beyond what no job may do.

    Attributes
    ----------
    families
        Socket families a job may create.
    own_user
        The job runs as the node's own user without namespaces: what is only guarded by ownership is refused, too
        (file metadata, other processes' priorities and limits).
    ipc
        Whether System V and POSIX message queues may be used (they are this host's own without an IPC namespace).
    landlock_abi
        0 where namespaces hide the file tree; else what Landlock covers decides what is left for the filter.
    threads_only
        The job is one process for good: it starts no other one, and no program.
    """

    families: tuple[int, ...]
    own_user: bool = False
    ipc: bool = True
    landlock_abi: int = 0
    threads_only: bool = False


class _Program:
    """A list of BPF instructions; a matched rule returns at once, so no jump is longer than a rule."""

    def __init__(self, column: int) -> None:
        self.code: _Code = []
        self._column = column

    def add(self, code: int, k: int, jt: int = 0, jf: int = 0) -> None:
        self.code.append((code, jt, jf, k))

    def number(self, name: str) -> int:
        return (syscalls.NUMBERS.get(name) or syscalls.PROGRAMS[name])[self._column]

    def refuse(self, names: Iterable[str], error: int) -> None:
        """Make calls fail with ``error`` (0: pretend that they worked)."""
        for name in names:
            if self.number(name) >= 0:
                self.add(_JEQ, self.number(name), 0, 1)
                self.add(_RET, _ERRNO | error)

    def refuse_unknown(self) -> None:
        """Let unreviewed numbers fail as if the kernel had no such call."""
        first, last = syscalls.HOLES[self._column]
        self.add(_JGT, syscalls.LAST, 0, 1)
        self.add(_RET, _ERRNO | errno.ENOSYS)
        self.add(_JGE, first, 0, 2)
        self.add(_JGT, last, 1, 0)
        self.add(_RET, _ERRNO | errno.ENOSYS)

    def on(self, name: str, body: _Code) -> None:
        """Run ``body``, which must return in every branch, for one call."""
        if self.number(name) >= 0:
            self.add(_JEQ, self.number(name), 0, len(body))
            self.code.extend(body)

    def bytes(self) -> bytes:
        return b"".join(struct.pack("<HBBI", *instruction) for instruction in self.code)


def supported() -> bool:
    """Whether the filter's system call numbers are known for this machine."""
    return platform.machine() in syscalls.MACHINES


@functools.cache
def in_kernel() -> bool:
    """Whether the kernel loads filters; what only translates a program for another machine (qemu-user) does not."""
    if sys.platform != "linux":
        return False
    # There is no filter at this address: only a kernel that loads some looks there.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_SECCOMP, _MODE_FILTER, None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


@functools.lru_cache(maxsize=16)
def program(profile: Profile, machine: str = "") -> bytes:
    """Assemble the filter.

    Parameters
    ----------
    profile
        What to filter.
    machine
        ``x86_64`` or ``aarch64``; this machine when empty.

    Returns
    -------
    bytes
        An array of ``struct sock_filter``, as ``prctl(PR_SET_SECCOMP)`` and ``bwrap --seccomp`` take it; with
        ``own_user`` it holds `OWN_PID`, which `confine.load_filter` replaces.
    """
    audit, column = syscalls.MACHINES[machine or platform.machine()]
    code = _Program(column)
    code.add(_LD_ABS, _ARCH_AT)
    code.add(_JEQ, audit, 1, 0)
    code.add(_RET, _KILL_PROCESS)
    code.add(_LD_ABS, _NR_AT)
    code.refuse_unknown()  # on x86-64 also the x32 numbers, which would be a second door
    code.on("clone", _threads() if profile.threads_only else _unless_bits(0, _CLONE_NEW))
    code.on("socket", _sockets(profile.families))
    # A pair of datagram sockets (raw ones are the same to the kernel) sends to any address.
    code.on("socketpair", _only((0, ~0, (AF_UNIX,)), (1, _SOCK_TYPE_MASK, (_SOCK_STREAM, _SOCK_SEQPACKET))))
    code.on("ioctl", _ioctl(profile))
    code.on("personality", _only((0, ~0, _PERSONALITIES)))
    code.on("prctl", _none_of(0, (_PR_SCHED_CORE,), errno.EINVAL))
    code.refuse(syscalls.NOT_THERE, errno.ENOSYS)
    code.refuse(syscalls.NEVER, errno.EPERM)
    if profile.threads_only:
        code.refuse(syscalls.PROGRAMS, errno.EPERM)
    if not profile.ipc:
        code.refuse(syscalls.IPC, errno.EPERM)
    if profile.own_user:
        _own_user(code, profile.landlock_abi)
    code.add(_RET, _ALLOW)
    return code.bytes()


def _own_user(code: _Program, landlock_abi: int) -> None:
    # Modes and times are only ignored: copying a file into outputs/ sets them, and must not fail for that.
    code.refuse(syscalls.MODES_AND_TIMES, 0)
    code.refuse(syscalls.OWNERS, errno.EPERM)
    code.refuse(syscalls.XATTRS, errno.ENOTSUP)
    code.refuse(("file_setattr", *syscalls.WATCHES), errno.ENOSYS)
    own = (0, OWN_PID)
    for name in syscalls.SCHEDULING:
        code.on(name, _only((0, ~0, own)))
    code.on("setpriority", _only((0, ~0, (_PRIO_PROCESS, _PRIO_PGRP)), (1, ~0, own)))
    code.on("ioprio_set", _only((0, ~0, (_IOPRIO_PROCESS, _IOPRIO_PGRP)), (1, ~0, own)))
    commands = [_F_SETLEASE, _F_NOTIFY, _F_SETDELEG]
    if landlock_abi < 3:  # truncation is not covered: neither by path nor by opening for reading
        code.refuse(("truncate",), errno.EPERM)
        code.refuse(("openat2",), errno.ENOSYS)
        code.on("open", _no_truncating_read(1))
        code.on("openat", _no_truncating_read(2))
    if landlock_abi < 6:  # signals to processes outside are not covered: neither sent nor left to the kernel
        code.on("kill", _only((0, ~0, own)))
        code.on("tgkill", _only((0, ~0, (OWN_PID,))))
        code.refuse(syscalls.SIGNALS, errno.EPERM)
        commands += [_F_SETOWN, _F_SETSIG, _F_SETOWN_EX]
    code.on("fcntl", _none_of(1, tuple(commands)))


def _sockets(families: tuple[int, ...]) -> _Code:
    others = tuple(family for family in families if family != AF_NETLINK)
    body = _only((0, ~0, others))
    if AF_NETLINK in families:
        # Name resolution asks for routes; the other protocols tell about everybody's sockets, audit, devices.
        route = _only((2, ~0, (_NETLINK_ROUTE,)))
        body = [(_LD_ABS, 0, 0, _argument(0)), (_JEQ, 0, len(route), AF_NETLINK), *route, *body]
    return body


def _ioctl(profile: Profile) -> _Code:
    refused = [_TIOCSTI, _TIOCLINUX, _TIOCCONS]
    if profile.own_user and profile.landlock_abi < 6:
        refused += [_FIOSETOWN, _SIOCSPGRP]
    body = _none_of(1, tuple(refused))
    if profile.own_user:
        # Landlock asks about devices at most. What changes a file, or makes a directory (a subvolume), by a
        # descriptor that was opened for reading differs between file systems, so only the known ones are left.
        body = body[:-1]
        for request in _FILE_IOCTLS:
            body += [(_JEQ, 0, 1, request), (_RET, 0, 0, _ALLOW)]
        body += _only((1, _TYPE_MASK, (_TTY_TYPE, _SOCKET_TYPE)), error=errno.ENOTTY)
    return body


def _argument(index: int) -> int:
    return _ARGS_AT + 8 * index


def _unless_bits(index: int, bits: int) -> _Code:
    return [
        (_LD_ABS, 0, 0, _argument(index)),
        (_JSET, 0, 1, bits),
        (_RET, 0, 0, _ERRNO | errno.EPERM),
        (_RET, 0, 0, _ALLOW),
    ]


def _threads() -> _Code:
    return [
        (_LD_ABS, 0, 0, _argument(0)),
        (_JSET, 2, 0, _CLONE_NEW),
        (_JSET, 0, 1, _CLONE_THREAD),
        (_RET, 0, 0, _ALLOW),
        (_RET, 0, 0, _ERRNO | errno.EPERM),
    ]


def _only(*checks: tuple[int, int, tuple[int, ...]], error: int = errno.EPERM) -> _Code:
    """Allow a call when each named argument, masked, has one of the values given (the lower 32 bits of both)."""
    body: _Code = []
    for index, mask, values in checks:
        body.append((_LD_ABS, 0, 0, _argument(index)))
        if mask != ~0:
            body.append((_AND, 0, 0, mask))
        body += [(_JEQ, len(values) - place, 0, value) for place, value in enumerate(values)]
        body.append((_RET, 0, 0, _ERRNO | error))
    return [*body, (_RET, 0, 0, _ALLOW)]


def _none_of(index: int, values: tuple[int, ...], error: int = errno.EPERM) -> _Code:
    body: _Code = [(_LD_ABS, 0, 0, _argument(index))]
    for value in values:
        body += [(_JEQ, 0, 1, value), (_RET, 0, 0, _ERRNO | error)]
    return [*body, (_RET, 0, 0, _ALLOW)]


def _no_truncating_read(index: int) -> _Code:
    return [
        (_LD_ABS, 0, 0, _argument(index)),
        (_AND, 0, 0, _O_ACCMODE | _O_TRUNC),
        (_JEQ, 0, 1, _O_TRUNC),
        (_RET, 0, 0, _ERRNO | errno.EPERM),
        (_RET, 0, 0, _ALLOW),
    ]
