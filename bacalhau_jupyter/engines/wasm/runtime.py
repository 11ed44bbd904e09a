"""The installed wasmtime: its library and its version, found without importing the package."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "wasmtime"
_CPU = Path("/proc/cpuinfo")
_ABILITIES = re.compile(rb"^(?:flags|Features)\s*:(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Runtime:
    """The wasmtime of this Python.

    Attributes
    ----------
    library
        Its shared library.
    version
        For people.
    mark
        Machine code that was compiled under another mark may not run here: it names the library and the processor.
    """

    library: Path
    version: str
    mark: str


def find() -> Runtime:
    """Find it.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed, or has no library for this machine.
    """
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package wasmtime is not installed", name=PACKAGE)
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    name = "_libwasmtime.dylib" if sys.platform == "darwin" else "_libwasmtime.so"
    library = Path(package.submodule_search_locations[0], f"{sys.platform}-{machine}", name)
    if not library.is_file():
        raise ModuleNotFoundError(f"wasmtime has no library for {machine}", name=PACKAGE)
    version = importlib.metadata.version(PACKAGE)
    facts = library.stat()
    text = f"{version} {facts.st_size} {facts.st_mtime_ns} {machine} ".encode() + _abilities()
    return Runtime(library, version, hashlib.sha256(text).hexdigest()[:16])


def _abilities() -> bytes:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            match = _ABILITIES.search(_CPU.read_bytes())
            return match[1] if match else b""
    # wasmtime itself compares abilities, too, before it loads code.
    return os.uname().version.encode()
