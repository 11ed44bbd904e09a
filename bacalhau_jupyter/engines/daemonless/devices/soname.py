"""The name by which programs ask for a shared library: the entry ``SONAME`` of a 64-bit ELF file."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_HEAD = struct.Struct("<16s2HI3QI6H")
_SEGMENT = struct.Struct("<2I6Q")
_ENTRY = struct.Struct("<2Q")
_LOAD, _DYNAMIC = 1, 2
_STRTAB, _SONAME = 5, 14
_MOST_SEGMENTS, _MOST_ENTRIES, _CHARACTERS = 100, 2000, 255


def soname(path: Path) -> str:
    """Return a library's name for the linker; empty where the file is not one, or has no such name."""
    try:
        # A name in place of the file that was checked may be anything; nothing is waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            name = _read(file)
    except (OSError, ValueError, struct.error, OverflowError):
        return ""
    return name if name not in ("", ".", "..") and "/" not in name else ""


def _read(file: BinaryIO) -> str:
    head = _HEAD.unpack(file.read(_HEAD.size))
    if head[0][:6] != b"\x7fELF\x02\x01" or head[9] != _SEGMENT.size:
        return ""
    file.seek(head[5])
    count = min(head[10], _MOST_SEGMENTS)
    segments = [_SEGMENT.unpack(file.read(_SEGMENT.size)) for _ in range(count)]
    dynamic = next((each for each in segments if each[0] == _DYNAMIC), None)
    if dynamic is None:
        return ""
    file.seek(dynamic[2])
    entries: dict[int, int] = {}
    for _ in range(min(dynamic[5] // _ENTRY.size, _MOST_ENTRIES)):
        tag, value = _ENTRY.unpack(file.read(_ENTRY.size))
        if not tag:
            break
        entries.setdefault(tag, value)
    if _STRTAB not in entries or _SONAME not in entries:
        return ""
    table = entries[_STRTAB]
    for kind, _, offset, address, _, size, *_ in segments:
        if kind == _LOAD and address <= table < address + size:
            file.seek(offset + table - address + entries[_SONAME])
            return file.read(_CHARACTERS + 1).partition(b"\0")[0].decode("ascii")[:_CHARACTERS]
    return ""
