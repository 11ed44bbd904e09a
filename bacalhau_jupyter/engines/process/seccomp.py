"""Seccomp filters: which system calls a job may not make, as a classic BPF program.

Two profiles share one list of what no job needs (mounts, namespaces, kernel administration, other processes'
memory, io_uring, keyrings). The *namespaced* one adds nothing but socket families; the *restricted* one has to make
up for missing namespaces: no sockets, no System V IPC, no changes of file metadata (Landlock does not cover those).
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from dataclasses import dataclass

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

# struct seccomp_data: nr, arch, instruction_pointer, args[6]; little endian on both machines that we know.
_NR_AT = 0
_ARCH_AT = 4
_ARGS_AT = 16

_LD_ABS = 0x20
_JEQ = 0x15
_JGE = 0x35
_JSET = 0x45
_AND = 0x54
_RET = 0x06

_CLONE_NEW = 0x7E020080
"""CLONE_NEWTIME (0x80), NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FS_IOC_SETFLAGS, _FS_IOC_FSSETXATTR = 0x40086602, 0x401C5820
_O_ACCMODE, _O_TRUNC = 0o3, 0o1000

# System call numbers: (x86_64, aarch64); -1 where the machine has no such call. Source: the kernel's own
# syscall tables (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
_NUMBERS: dict[str, tuple[int, int]] = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "chmod": (90, -1), "chown": (92, -1),
    "chroot": (161, 51), "clock_settime": (227, 112), "clone": (56, 220), "clone3": (435, 435),
    "delete_module": (176, 106), "fanotify_init": (300, 262), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "fchown": (93, 55), "fchownat": (260, 54), "file_setattr": (469, 469),
    "finit_module": (313, 273), "fremovexattr": (199, 16), "fsconfig": (431, 431), "fsetxattr": (190, 7),
    "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433), "futimesat": (261, -1),
    "init_module": (175, 105), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioctl": (16, 29), "ioperm": (173, -1), "iopl": (172, -1),
    "kcmp": (312, 272), "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219),
    "kill": (62, 129), "lchown": (94, -1), "lookup_dcookie": (212, 18), "lremovexattr": (198, 15),
    "lsetxattr": (189, 6), "migrate_pages": (256, 238), "modify_ldt": (154, -1), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239), "mq_open": (240, 180),
    "mq_unlink": (241, 181), "msgctl": (71, 187), "msgget": (68, 186), "msgrcv": (70, 188), "msgsnd": (69, 189),
    "name_to_handle_at": (303, 264), "nfsservctl": (180, 42), "open": (2, -1), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "openat": (257, 56), "openat2": (437, 437),
    "perf_event_open": (298, 241), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41), "prlimit64": (302, 261), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "quotactl": (179, 60), "quotactl_fd": (443, 443), "reboot": (169, 142),
    "removexattr": (197, 14), "removexattrat": (466, 466), "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "semctl": (66, 191), "semget": (64, 190),
    "semop": (65, 193), "semtimedop": (220, 192), "setns": (308, 268), "settimeofday": (164, 170),
    "setxattr": (188, 5), "setxattrat": (463, 463), "shmat": (30, 196), "shmctl": (31, 195), "shmget": (29, 194),
    "socket": (41, 198), "swapoff": (168, 225), "swapon": (167, 224), "syslog": (103, 116), "tgkill": (234, 131),
    "tkill": (200, 130), "truncate": (76, 45), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282), "utime": (132, -1), "utimensat": (280, 88), "utimes": (235, -1),
    "vhangup": (153, 58),
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

_NEVER = (
    "acct", "add_key", "bpf", "chroot", "clock_settime", "delete_module", "fanotify_init", "finit_module",
    "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load",
    "kexec_load", "keyctl", "lookup_dcookie", "migrate_pages", "modify_ldt", "mount", "mount_setattr",
    "move_mount", "move_pages", "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree",
    "open_tree_attr", "perf_event_open", "pidfd_getfd", "pivot_root", "process_madvise", "process_mrelease",
    "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot", "request_key",
    "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd", "vhangup",
)  # fmt: skip
# Libraries try these and fall back when the kernel has none.
_NOT_THERE = ("clone3", "io_uring_enter", "io_uring_register", "io_uring_setup")
_IPC = (
    "mq_open", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop",
    "shmat", "shmctl", "shmget",
)  # fmt: skip
_MODES_AND_TIMES = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "futimesat", "utime", "utimensat", "utimes",
)  # fmt: skip
_OWNERS = ("chown", "fchown", "fchownat", "lchown")
_XATTRS = (
    "fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "removexattrat", "setxattr", "setxattrat",
)  # fmt: skip
_SIGNALS = ("kill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill")


@dataclass(frozen=True)
class Profile:
    """What to filter beyond what no job may do.

    Attributes
    ----------
    families
        Socket families a job may create.
    own_user
        The job runs as the node's own user without namespaces: what is only guarded by ownership is refused, too
        (file metadata, other processes' limits).
    ipc
        Whether System V and POSIX message queues may be used (they are this host's own without an IPC namespace).
    landlock_abi
        0 where namespaces hide the file tree; else what Landlock covers decides what is left for the filter.
    """

    families: tuple[int, ...]
    own_user: bool = False
    ipc: bool = True
    landlock_abi: int = 0


class _Program:
    """A list of BPF instructions; a matched rule returns at once, so no jump is longer than a rule."""

    def __init__(self, column: int) -> None:
        self.code: list[tuple[int, int, int, int]] = []
        self._column = column

    def add(self, code: int, k: int, jt: int = 0, jf: int = 0) -> None:
        self.code.append((code, jt, jf, k))

    def number(self, name: str) -> int:
        return _NUMBERS[name][self._column]

    def refuse(self, names: tuple[str, ...], error: int) -> None:
        """Make calls fail with ``error`` (0: pretend that they worked)."""
        for name in names:
            if self.number(name) >= 0:
                self.add(_JEQ, self.number(name), 0, 1)
                self.add(_RET, _ERRNO | error)

    def on(self, name: str, body: list[tuple[int, int, int, int]]) -> None:
        """Run ``body``, which must return in every branch, for one call."""
        if self.number(name) >= 0:
            self.add(_JEQ, self.number(name), 0, len(body))
            self.code.extend(body)

    def bytes(self) -> bytes:
        return b"".join(struct.pack("<HBBI", *instruction) for instruction in self.code)


def supported() -> bool:
    """Whether the filter's system call numbers are known for this machine."""
    return platform.machine() in _MACHINES


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
        An array of ``struct sock_filter``, as ``prctl(PR_SET_SECCOMP)`` and ``bwrap --seccomp`` take it.
    """
    audit, column = _MACHINES[machine or platform.machine()]
    code = _Program(column)
    code.add(_LD_ABS, _ARCH_AT)
    code.add(_JEQ, audit, 1, 0)
    code.add(_RET, _KILL_PROCESS)
    code.add(_LD_ABS, _NR_AT)
    if column == 0:  # the x32 numbers would be a second door
        code.add(_JGE, 0x40000000, 0, 1)
        code.add(_RET, _ERRNO | errno.ENOSYS)
    code.on("clone", _unless_bits(0, _CLONE_NEW))
    code.on("socket", _only_values(0, profile.families))
    _ioctl(code, profile)
    code.refuse(_NOT_THERE, errno.ENOSYS)
    code.refuse(_NEVER, errno.EPERM)
    if not profile.ipc:
        code.refuse(_IPC, errno.EPERM)
    if profile.own_user:
        _own_user(code, profile.landlock_abi)
    code.add(_RET, _ALLOW)
    return code.bytes()


def _own_user(code: _Program, landlock_abi: int) -> None:
    # Modes and times are only ignored: copying a file into outputs/ sets them, and must not fail for that.
    code.refuse(_MODES_AND_TIMES, 0)
    code.refuse(_OWNERS, errno.EPERM)
    code.refuse(_XATTRS, errno.ENOTSUP)
    code.refuse(("file_setattr",), errno.ENOSYS)
    code.on("prlimit64", _only_values(0, (0,)))
    if landlock_abi < 3:  # truncation is not covered: neither by path nor by opening for reading
        code.refuse(("truncate",), errno.EPERM)
        code.refuse(("openat2",), errno.ENOSYS)
        code.on("open", _no_truncating_read(1))
        code.on("openat", _no_truncating_read(2))
    if landlock_abi < 6:  # signals to processes outside are not covered
        code.refuse((*_SIGNALS, "tgkill"), errno.EPERM)


def _ioctl(code: _Program, profile: Profile) -> None:
    refused = [_TIOCSTI, _TIOCLINUX]
    if profile.own_user:
        refused += [_FS_IOC_SETFLAGS, _FS_IOC_FSSETXATTR]
    body = [(_LD_ABS, 0, 0, _argument(1))]
    for request in refused:
        body += [(_JEQ, 0, 1, request), (_RET, 0, 0, _ERRNO | errno.EPERM)]
    code.on("ioctl", [*body, (_RET, 0, 0, _ALLOW)])


def _argument(index: int) -> int:
    return _ARGS_AT + 8 * index


def _unless_bits(index: int, bits: int) -> list[tuple[int, int, int, int]]:
    return [
        (_LD_ABS, 0, 0, _argument(index)),
        (_JSET, 0, 1, bits),
        (_RET, 0, 0, _ERRNO | errno.EPERM),
        (_RET, 0, 0, _ALLOW),
    ]


def _only_values(index: int, values: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    body = [(_LD_ABS, 0, 0, _argument(index))]
    for value in values:
        body += [(_JEQ, 0, 1, value), (_RET, 0, 0, _ALLOW)]
    return [*body, (_RET, 0, 0, _ERRNO | errno.EPERM)]


def _no_truncating_read(index: int) -> list[tuple[int, int, int, int]]:
    return [
        (_LD_ABS, 0, 0, _argument(index)),
        (_AND, 0, 0, _O_ACCMODE | _O_TRUNC),
        (_JEQ, 0, 1, _O_TRUNC),
        (_RET, 0, 0, _ERRNO | errno.EPERM),
        (_RET, 0, 0, _ALLOW),
    ]
