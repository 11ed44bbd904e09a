"""What the first bytes of a file say of it, before wasmtime looks at it."""

from __future__ import annotations

import base64
import binascii
import re

from bacalhau_jupyter.models.jobs.spec import InputSource

_MAGIC = b"\0asm"
_CORE, _COMPONENT = b"\1\0\0\0", b"\x0d\0\1\0"
_DATA_URL = re.compile(r"\s*data:([^,;]*)((?:;[^,;]*)*),(.{0,4096})", re.IGNORECASE | re.DOTALL)
SIZE = 8
"""Bytes of a header."""


def problem(start: bytes) -> str:
    """Say why a file that starts like this is no module that can be run; empty when it may be one."""
    if start[:4] != _MAGIC:
        if start.lstrip()[:1] == b"(":
            return "is WebAssembly text: compile it to a .wasm file first (wat2wasm)"
        return "is not a WebAssembly module"
    if start[4:8] == _COMPONENT:
        return (
            "is a WebAssembly component, and this engine runs core modules with WASI preview 1 "
            "(compile for wasm32-wasip1)"
        )
    if start[4:8] != _CORE:
        return "is WebAssembly of a version that this engine does not know"
    return ""


def visible_problem(source: InputSource) -> str:
    """Say what is wrong with a module that travels in the spec itself, as a plain file; empty where that is unknown."""
    url = source.source.param("URL")
    match = _DATA_URL.match(url) if source.source.is_type("inline") and isinstance(url, str) else None
    if match is None or match[1].strip().lower() == "application/gzip" or "base64" not in match[2].lower():
        return ""
    digits = re.sub(r"\s", "", match[3])[:12]
    try:
        start = base64.b64decode(
            digits[: len(digits) // 4 * 4], altchars=b"-_" if set(digits) & {*"-_"} else None
        )
    except (binascii.Error, ValueError):
        return ""
    return problem(start) if len(start) >= SIZE else ""
