"""WebAssembly modules that a test needs, assembled by hand: official nodes run them without any image."""

from __future__ import annotations

_TEXT_AT = 64
_WASI = "wasi_snapshot_preview1"


def printing(text: str) -> bytes:
    """Return a module that prints a text and ends well."""
    data = text.encode()
    # (cells of four bytes) where the text lies, and how long it is
    vector = _TEXT_AT.to_bytes(4, "little") + len(data).to_bytes(4, "little")
    write = b"\x41\x01\x41\x00\x41\x01\x41\x10\x10\x00\x1a"
    leave = b"\x41\x00\x10\x01"
    body = b"\x00" + write + leave + b"\x0b"
    sections = (
        (1, _vector(b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f", b"\x60\x01\x7f\x00", b"\x60\x00\x00")),
        (2, _vector(_imported("fd_write", 0), _imported("proc_exit", 1))),
        (3, _vector(b"\x02")),
        (5, _vector(b"\x00\x01")),
        (7, _vector(_name("memory") + b"\x02\x00", _name("_start") + b"\x00\x02")),
        (10, _vector(_sized(body))),
        (11, _vector(_data(0, vector), _data(_TEXT_AT, data))),
        # Official nodes want a section with names.
        (0, _name("name") + b"\x00" + _sized(_name("test"))),
    )
    return b"\x00asm\x01\x00\x00\x00" + b"".join(bytes([kind]) + _sized(body) for kind, body in sections)


def _imported(function: str, kind: int) -> bytes:
    return _name(_WASI) + _name(function) + b"\x00" + _number(kind)


def _data(offset: int, content: bytes) -> bytes:
    return b"\x00\x41" + _signed(offset) + b"\x0b" + _sized(content)


def _vector(*items: bytes) -> bytes:
    return _number(len(items)) + b"".join(items)


def _name(text: str) -> bytes:
    return _sized(text.encode())


def _sized(content: bytes) -> bytes:
    return _number(len(content)) + content


def _number(value: int) -> bytes:
    """Encode as LEB128."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _signed(value: int) -> bytes:
    """Encode a number that is not negative as signed LEB128."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        is_last = not value and not low & 0x40
        out.append(low | (0 if is_last else 0x80))
        if is_last:
            return bytes(out)
