"""A program that makes the listening socket inside a container and hands it to the node.

No image is sure to hold an interpreter or a shell, so it is machine code: a program without branches, which is nothing
but a list of system calls. It listens on the loopback of the network that it is started in, connects to the node's Unix
socket, sends the listening socket over (``SCM_RIGHTS``), and waits until the node closes that connection, which it does
when it ends; then it begins again with connecting. So a node that was started anew gets the same socket, and what
clients have asked meanwhile waits in it.
"""

from __future__ import annotations

import os
import struct

from bacalhau_jupyter.lib.programs import machine_code
from bacalhau_jupyter.lib.programs.machine_code import Argument, Data, Saved, executable
from bacalhau_jupyter.lib.programs.machine_code import is_supported as is_supported

_BACKLOG = 128
_RETRY_NS = 200_000_000
_LISTENER, _CONNECTION = 0, 1


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
    kind = machine_code.machine(machine)
    data = Data()
    here = data.add(struct.pack("<H", 2) + struct.pack(">H", port) + bytes([127, 0, 0, 1]) + bytes(8))
    path = os.fsencode(door) + b"\0"
    node = data.add(struct.pack("<H", 1) + path)
    one, pause = data.add(struct.pack("<I", 1)), data.add(struct.pack("<qq", 0, _RETRY_NS))
    rights = data.add(struct.pack("<Qiii", 20, 1, 1, 0) + bytes(4))
    pieces = data.add(struct.pack("<QQ", one, 1))
    message = data.add(struct.pack("<QIIQQQQIi", 0, 0, 0, pieces, 1, rights, 24, 0, 0))
    byte = data.add(bytes(8))

    def call(name: str, *arguments: Argument) -> bytes:
        return kind.call(kind.calls[name], arguments)

    listener, connection = Saved(_LISTENER), Saved(_CONNECTION)
    start = call("socket", 2, 1, 0) + kind.save(_LISTENER)
    start += call("setsockopt", listener, 1, 2, one, 4)
    start += call("bind", listener, here, 16) + call("listen", listener, _BACKLOG)
    start += kind.store(_LISTENER, rights + 16)
    again = call("socket", 1, 1, 0) + kind.save(_CONNECTION)
    again += call("connect", connection, node, 2 + len(path)) + call("sendmsg", connection, message, 0x4000)
    again += call("read", connection, byte, 1) + call("close", connection) + call("nanosleep", pause, 0)
    return executable(kind, start + again + kind.jump(-len(again)), bytes(data.content))
