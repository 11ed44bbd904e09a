"""How much memory a module may have."""

from __future__ import annotations

PAGE = 65536
MOST = 65536 * PAGE
"""What 32-bit WebAssembly can address: 4 GiB."""
BESIDES = 256 * 1024 * 1024
"""Bytes that the process around a module takes: our interpreter, wasmtime, an answer of the HTTP functions."""

_GIB = 1 << 30


def too_much(memory: int) -> str:
    """Say why a module can't have so many bytes; empty when it can."""
    if memory <= MOST:
        return ""
    return f"requested memory exceeds the wasm limit - {memory / _GIB:.2f} GB > {MOST / _GIB:.2f} GB"


def limit(memory: int) -> int:
    """Return the bytes that a memory may grow to: whole pages, rounded up; all that can be addressed for 0."""
    return min(-(-memory // PAGE) * PAGE, MOST) if memory > 0 else MOST
