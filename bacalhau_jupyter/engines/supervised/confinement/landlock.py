"""Landlock by ctypes: file access by path rules, TCP ports, and scopes for signals and abstract sockets.

The kernel grows this interface by numbered ABIs; `ruleset` asks for everything that the running one knows
(1: files, 2: moving between directories, 3: truncation, 4: TCP, 5: device ioctl, 6: scopes).
Imported by the supervisor: the standard library's cheap modules only.
"""

from __future__ import annotations

import ctypes
import os
import struct

from bacalhau_jupyter.lib.beneath import O_PATH

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
_REMOVE = 1 << 4 | 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 12
_REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

READ = EXECUTE | READ_FILE | READ_DIR
WRITE = (
    READ
    | WRITE_FILE
    | _REMOVE
    | _MAKE_DIR
    | _MAKE_REG
    | _MAKE_SOCK
    | _MAKE_FIFO
    | _MAKE_SYM
    | _REFER
    | TRUNCATE
)
SHARED_MEMORY = READ_FILE | WRITE_FILE | TRUNCATE | 1 << 5 | _MAKE_REG
"""Make, open and remove files of a directory (1 << 5: ``REMOVE_FILE``), but not list it."""
DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
_FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_VERSION = 1
_PATH_BENEATH = 1
_NET_ALL = 0b11
_SCOPE_ALL = 0b11

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def abi() -> int:
    """Return the kernel's Landlock ABI; 0 when there is none (not built in, switched off, or filtered)."""
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_VERSION))
    except OSError:
        return 0


def _handled_files(version: int) -> int:
    rights = (1 << 13) - 1
    if version >= 2:
        rights |= _REFER
    if version >= 3:
        rights |= TRUNCATE
    if version >= 5:
        rights |= IOCTL_DEV
    return rights


def ruleset(version: int, rules: list[tuple[str, int]], network: bool) -> int:
    """Create a rule set and return its descriptor.

    Parameters
    ----------
    version
        The kernel's ABI.
    rules
        Pairs of path and rights; a path that is not there, or closed to the node itself, is skipped. A path
        ``/proc/self/fd/N`` means what that descriptor leads to.
    network
        Whether TCP may be used.

    Raises
    ------
    OSError
        The kernel refuses.
    """
    handled = _handled_files(version)
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", 0 if network else _NET_ALL)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPE_ALL)
    created = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for path, rights in rules:
        try:
            target = os.open(path, O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            continue
        try:
            if not _is_directory(target):
                rights &= _FOR_FILES
            beneath = struct.pack("=Qi", rights & handled, target)
            _call(_ADD_RULE, ctypes.c_int(created), ctypes.c_int(_PATH_BENEATH), beneath, ctypes.c_uint32(0))
        finally:
            os.close(target)
    return created


def _is_directory(descriptor: int) -> bool:
    return os.fstat(descriptor).st_mode & 0o170000 == 0o040000


def restrict(descriptor: int) -> None:
    """Confine this thread and its children to the rule set; needs ``no_new_privs``."""
    _call(_RESTRICT_SELF, ctypes.c_int(descriptor), ctypes.c_uint32(0))
    os.close(descriptor)
