"""Start a program that gets no netlink socket: ``without_netlink.py PROGRAM [ARGUMENT…]``."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

SYSTEM_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine: its name in a filter, and the number of ``socket``."""

_NR_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_AF_NETLINK = 16
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def code(machine: str) -> bytes:
    """Return the filter: every call is allowed but ``socket(AF_NETLINK, …)``."""
    name, socket = SYSTEM_CALLS[machine]
    instructions = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 0, 5, name),
        (_LOAD, 0, 0, _NR_AT),
        (_IF_EQUAL, 0, 3, socket),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_IF_EQUAL, 0, 1, _AF_NETLINK),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *each) for each in instructions)


def main(words: list[str]) -> None:
    """Filter this process's calls, and become the program."""
    text = code(platform.machine())
    buffer = ctypes.create_string_buffer(text)
    program = _Program(len(text) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "the filter can't be set")
    os.execv(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
