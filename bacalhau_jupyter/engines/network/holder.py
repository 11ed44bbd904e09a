"""A program that makes the listening socket inside a container and hands it to the node.

No image is sure to hold an interpreter or a shell, so it is machine code: a program without branches, which is nothing
but a list of system calls. It listens on the loopback of the network that it is started in, connects to the node's Unix
socket, sends the listening socket over (``SCM_RIGHTS``), and waits until the node closes that connection, which it does
when it ends; then it begins again with connecting. So a node that was started anew gets the same socket, and what
clients have asked meanwhile waits in it.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

_CODE_AT, _DATA_AT = 0x400000, 0x600000
_PAGE = 0x10000  # the largest page of the machines below
_HEADERS = 64 + 2 * 56
_BACKLOG = 128
_RETRY_NS = 200_000_000
_LISTENER, _CONNECTION = 0, 1


@dataclass
class _Data:
    """What the system calls point to; addresses are known as soon as something is added."""

    content: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> int:
        self.content += bytes(-len(self.content) % 8)
        address = _DATA_AT + len(self.content)
        self.content += data
        return address


@dataclass(frozen=True)
class _Saved:
    """An argument that an earlier call returned."""

    number: int


_Argument = int | _Saved


@dataclass(frozen=True)
class _Machine:
    """The instructions with which a processor makes system calls."""

    elf: int
    calls: dict[str, int]
    call: Callable[[int, tuple[_Argument, ...]], bytes]
    save: Callable[[int], bytes]
    store: Callable[[int, int], bytes]
    jump: Callable[[int], bytes]


def _amd64_call(number: int, arguments: tuple[_Argument, ...]) -> bytes:
    code = b""
    # edi, esi, edx, r10d, r8d
    for position, argument in enumerate(arguments):
        if isinstance(argument, _Saved):
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


def _arm64_call(number: int, arguments: tuple[_Argument, ...]) -> bytes:
    code = b""
    for position, argument in enumerate(arguments):
        if isinstance(argument, _Saved):
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


_MACHINES = {
    "x86_64": _Machine(
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
        },
        call=_amd64_call,
        save=lambda saved: b"\x41\x89" + (b"\xc4", b"\xc5")[saved],  # mov r12d / r13d, eax
        store=_amd64_store,
        jump=lambda distance: b"\xe9" + struct.pack("<i", distance - 5),
    ),
    "aarch64": _Machine(
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
        },
        call=_arm64_call,
        save=lambda saved: struct.pack("<I", 0xAA0003E0 | (19 + saved)),  # mov x19 / x20, x0
        store=_arm64_store,
        jump=lambda distance: struct.pack("<I", 0x14000000 | (distance >> 2) & 0x3FFFFFF),
    ),
}


def is_supported(machine: str | None = None) -> bool:
    """Whether the program can be made for a kind of processor; this machine's, if none is named."""
    return (machine or platform.machine()) in _MACHINES


def program(door: str, port: int, machine: str | None = None) -> bytes:
    """Return the executable file.

    Parameters
    ----------
    door
        Path of the node's Unix socket, as the program sees it.
    port
        Where it listens on 127.0.0.1.
    machine
        Kind of processor, as `platform.machine` names it.
    """
    kind = _MACHINES[machine or platform.machine()]
    data = _Data()
    here = data.add(struct.pack("<H", 2) + struct.pack(">H", port) + bytes([127, 0, 0, 1]) + bytes(8))
    path = os.fsencode(door) + b"\0"
    node = data.add(struct.pack("<H", 1) + path)
    one, pause = data.add(struct.pack("<I", 1)), data.add(struct.pack("<qq", 0, _RETRY_NS))
    rights = data.add(struct.pack("<Qiii", 20, 1, 1, 0) + bytes(4))
    pieces = data.add(struct.pack("<QQ", one, 1))
    message = data.add(struct.pack("<QIIQQQQIi", 0, 0, 0, pieces, 1, rights, 24, 0, 0))
    byte = data.add(bytes(8))

    def call(name: str, *arguments: _Argument) -> bytes:
        return kind.call(kind.calls[name], arguments)

    listener, connection = _Saved(_LISTENER), _Saved(_CONNECTION)
    start = call("socket", 2, 1, 0) + kind.save(_LISTENER)
    start += call("setsockopt", listener, 1, 2, one, 4)
    start += call("bind", listener, here, 16) + call("listen", listener, _BACKLOG)
    start += kind.store(_LISTENER, rights + 16)
    again = call("socket", 1, 1, 0) + kind.save(_CONNECTION)
    again += call("connect", connection, node, 2 + len(path)) + call("sendmsg", connection, message, 0x4000)
    again += call("read", connection, byte, 1) + call("close", connection) + call("nanosleep", pause, 0)
    return _elf(kind.elf, start + again + kind.jump(-len(again)), bytes(data.content))


def _elf(machine: int, code: bytes, data: bytes) -> bytes:
    data_offset = _PAGE
    entry = _CODE_AT + _HEADERS
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    size = _HEADERS + len(code)
    # Code that can't be written, data that can't be run.
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, _CODE_AT, _CODE_AT, size, size, _PAGE)
    segments += struct.pack("<IIQQQQQQ", 1, 6, data_offset, _DATA_AT, _DATA_AT, len(data), len(data), _PAGE)
    image = head + segments + code
    return image + bytes(data_offset - len(image)) + data
