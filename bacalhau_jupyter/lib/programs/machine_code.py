"""Machine code without branches: programs that are nothing but a list of system calls.

No image is sure to hold an interpreter or a shell, and what runs inside of one must not depend on libraries of this
host. Such a program depends on the kernel alone.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

_CODE_AT, _DATA_AT = 0x400000, 0x600000
_PAGE = 0x10000  # the largest page of the machines below
_HEADERS = 64 + 2 * 56


@dataclass
class Data:
    """What the system calls point to; addresses are known as soon as something is added."""

    content: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> int:
        self.content += bytes(-len(self.content) % 8)
        address = _DATA_AT + len(self.content)
        self.content += data
        return address


@dataclass(frozen=True)
class Saved:
    """An argument that an earlier call returned."""

    number: int


Argument = int | Saved


@dataclass(frozen=True)
class Machine:
    """The instructions with which a processor makes system calls."""

    elf: int
    calls: dict[str, int]
    call: Callable[[int, tuple[Argument, ...]], bytes]
    save: Callable[[int], bytes]
    store: Callable[[int, int], bytes]
    jump: Callable[[int], bytes]


def _amd64_call(number: int, arguments: tuple[Argument, ...]) -> bytes:
    code = b""
    # edi, esi, edx, r10d, r8d
    for position, argument in enumerate(arguments):
        if isinstance(argument, Saved):
            assert position == 0
            code += b"\x44\x89" + (b"\xe7", b"\xef")[argument.number]  # mov edi, r12d / r13d
        else:
            prefix = (b"\xbf", b"\xbe", b"\xba", b"\x41\xba", b"\x41\xb8")[position]
            code += prefix + struct.pack("<I", argument)  # mov register, value
    return code + b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"  # mov eax, number; syscall


def _amd64_store(saved: int, address: int) -> bytes:
    # mov edx, address; mov [rdx], r12d / r13d
    return b"\xba" + struct.pack("<I", address) + b"\x44\x89" + (b"\x22", b"\x2a")[saved]


def _arm64_value(register: int, value: int) -> bytes:
    low, high = value & 0xFFFF, value >> 16
    # movz register, low; movk register, high, lsl 16
    return struct.pack("<II", 0xD2800000 | low << 5 | register, 0xF2A00000 | high << 5 | register)


def _arm64_call(number: int, arguments: tuple[Argument, ...]) -> bytes:
    code = b""
    for position, argument in enumerate(arguments):
        if isinstance(argument, Saved):
            code += struct.pack(
                "<I", 0xAA0003E0 | (19 + argument.number) << 16 | position
            )  # mov x0…, x19 / x20
        else:
            code += _arm64_value(position, argument)
    return code + _arm64_value(8, number) + struct.pack("<I", 0xD4000001)  # svc 0


def _arm64_store(saved: int, address: int) -> bytes:
    return _arm64_value(1, address) + struct.pack(
        "<I", 0xB9000000 | 1 << 5 | (19 + saved)
    )  # str w19 / w20, [x1]


MACHINES = {
    "x86_64": Machine(
        elf=62,
        calls={
            "socket": 41,
            "setsockopt": 54,
            "bind": 49,
            "listen": 50,
            "connect": 42,
            "sendmsg": 46,
            "read": 0,
            "close": 3,
            "nanosleep": 35,
            "execve": 59,
            "exit_group": 231,
            "openat": 257,
            "prctl": 157,
            "setgroups": 116,
            "setresgid": 119,
            "setresuid": 117,
            "write": 1,
        },
        call=_amd64_call,
        save=lambda saved: b"\x41\x89" + (b"\xc4", b"\xc5")[saved],  # mov r12d / r13d, eax
        store=_amd64_store,
        jump=lambda distance: b"\xe9" + struct.pack("<i", distance - 5),
    ),
    "aarch64": Machine(
        elf=183,
        calls={
            "socket": 198,
            "setsockopt": 208,
            "bind": 200,
            "listen": 201,
            "connect": 203,
            "sendmsg": 211,
            "read": 63,
            "close": 57,
            "nanosleep": 101,
            "execve": 221,
            "exit_group": 94,
            "openat": 56,
            "prctl": 167,
            "setgroups": 159,
            "setresgid": 149,
            "setresuid": 147,
            "write": 64,
        },
        call=_arm64_call,
        save=lambda saved: struct.pack("<I", 0xAA0003E0 | (19 + saved)),  # mov x19 / x20, x0
        store=_arm64_store,
        jump=lambda distance: struct.pack("<I", 0x14000000 | (distance >> 2) & 0x3FFFFFF),
    ),
}


def is_supported(machine: str | None = None) -> bool:
    """Whether programs can be made for a kind of processor; this machine's, if none is named."""
    return (machine or platform.machine()) in MACHINES


def machine(name: str | None = None) -> Machine:
    """Return the instructions of a kind of processor; this machine's, if none is named."""
    return MACHINES[name or platform.machine()]


def executable(kind: Machine, code: bytes, data: bytes) -> bytes:
    """Return the file: code that can't be written, data that can't be run."""
    if len(code) > _PAGE - _HEADERS:
        raise ValueError("too many system calls for one program")
    data_offset = _PAGE
    entry = _CODE_AT + _HEADERS
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, kind.elf, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    size = _HEADERS + len(code)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, _CODE_AT, _CODE_AT, size, size, _PAGE)
    segments += struct.pack("<IIQQQQQQ", 1, 6, data_offset, _DATA_AT, _DATA_AT, len(data), len(data), _PAGE)
    image = head + segments + code
    return image + bytes(data_offset - len(image)) + data
