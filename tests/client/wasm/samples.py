"""Small modules, assembled by hand or as text."""

from __future__ import annotations

from collections.abc import Sequence

HEAD = b"\0asm\1\0\0\0"
COMPONENT = b"\0asm\x0d\0\1\0"

HELLO = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))
"""
"""Prints hello and returns."""

LIBRARY = '(module (func (export "answer") (result i32) (i32.const 7)))'

USER = """
(module
  (import "math" "answer" (func $answer (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (call $answer))))
"""
"""Ends with the exit code that a library gives."""


def module(
    *, imports: Sequence[tuple[str, str]] = (), exports: Sequence[tuple[str, int]] = (("_start", 0),)
) -> bytes:
    """Return a module with functions alone; an export has its number of parameters."""
    types = _vector(*(b"\x60" + _vector(*([b"\x7f"] * count)) + b"\x00" for count in range(3)))
    imported = _vector(*(_name(place) + _name(name) + b"\x00\x00" for place, name in imports))
    functions = _vector(*(bytes([count]) for _, count in exports))
    exported = _vector(
        *(_name(name) + b"\x00" + bytes([len(imports) + at]) for at, (name, _) in enumerate(exports))
    )
    bodies = _vector(*(_sized(b"\x00\x0b") for _ in exports))
    names = _name("name") + b"\x00" + _sized(_name("test"))
    sections = ((1, types), (2, imported), (3, functions), (7, exported), (10, bodies), (0, names))
    return HEAD + b"".join(bytes([kind]) + _sized(body) for kind, body in sections)


def _vector(*items: bytes) -> bytes:
    return bytes([len(items)]) + b"".join(items)


def _name(text: str) -> bytes:
    return _sized(text.encode())


def _sized(content: bytes) -> bytes:
    size, out = len(content), bytearray()
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size]) + content


def padded(data: bytes, count: int) -> bytes:
    """Return a module with so many bytes more, which mean nothing."""
    return data + b"\x00" + _sized(_name("padding") + bytes(count))
