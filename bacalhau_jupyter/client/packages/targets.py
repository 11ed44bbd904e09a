"""The Python that packages are for: this kernel's own, another one of this machine, or that of an image."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from bacalhau_jupyter.models.errors import BadRequest

_ASK_TIMEOUT_S = 30.0
_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""Minor versions of glibc for which uv knows a platform."""

# Runs in the other Python, of whatever version: it prints one line.
PROBE = """
import json, platform, sys, sysconfig
libc = platform.libc_ver()
musl = ""
try:
    with open("/proc/self/maps") as maps:
        musl = "musl" if "ld-musl-" in maps.read() else ""
except Exception:
    pass
print("bacalhau-python " + json.dumps({"version": platform.python_version(), "kind": platform.python_implementation(),
 "machine": platform.machine(), "system": platform.system(), "libc": "musl" if musl else " ".join(libc),
 "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED"))}))
"""
MARK = "bacalhau-python "


@dataclass(frozen=True)
class Target:
    """The Python that packages are for.

    Attributes
    ----------
    words
        What distinguishes it: version, system, C library, processor. Equal targets take the same packages.
    executable
        An interpreter of this machine that is this Python; empty for one elsewhere.
    version
        Such as ``3.11.7``.
    platform
        What uv calls the platform; empty where ``executable`` tells.
    """

    words: str
    executable: str = ""
    version: str = ""
    platform: str = ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether the Python is not one of this machine."""
        return not self.executable


@cache
def own() -> Target:
    """Describe this process's Python."""
    facts = {
        "version": platform.python_version(),
        "kind": platform.python_implementation(),
        "machine": platform.machine(),
        "system": platform.system(),
        "libc": " ".join(platform.libc_ver()),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }
    return Target(words=_words(facts, "this kernel's Python"), executable=sys.executable)


@cache
def of_executable(executable: str) -> Target:
    """Describe another Python of this machine; it is asked itself.

    Raises
    ------
    BadRequest
        It can't be started, or is not a Python.
    """
    if executable in ("", "python", "python3", sys.executable):
        return own()
    try:
        done = subprocess.run(
            [executable, "-c", PROBE], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BadRequest(f"{executable} can't report its Python: {type(error).__name__}") from None
    return Target(words=_words(_said(done.stdout, executable), executable), executable=executable)


def of_image(output: str, image: str) -> Target:
    """Describe the Python of an image by what `PROBE` printed there.

    Raises
    ------
    BadRequest
        It is not one that packages can be resolved for.
    """
    facts = _said(output, image)
    words = _words(facts, image)
    if facts.get("kind") != "CPython" or facts.get("free_threaded"):
        raise BadRequest(f"--pip knows the usual CPython only, and {image} has another Python ({words})")
    return Target(words=words, version=str(facts["version"]), platform=_platform(facts, image))


def _said(output: str, where: str) -> Mapping[str, Any]:
    line = next((line for line in output.splitlines() if line.startswith(MARK)), "")
    try:
        facts = json.loads(line.removeprefix(MARK))
        if not isinstance(facts, dict) or not re.fullmatch(
            r"[0-9][\w.+-]{0,30}", str(facts.get("version", ""))
        ):
            raise ValueError
    except (ValueError, RecursionError):
        raise BadRequest(f"{where} does not report its Python") from None
    return facts


def _words(facts: Mapping[str, Any], where: str) -> str:
    names = ("kind", "version", "system", "libc", "machine")
    words = [str(facts.get(name) or "?")[:60] for name in names]
    if not all(word.isprintable() for word in words):
        raise BadRequest(f"{where} does not report its Python")
    return " ".join([*words, *(["free-threaded"] if facts.get("free_threaded") else [])])


def _platform(facts: Mapping[str, Any], image: str) -> str:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        str(facts.get("machine")).lower(), str(facts.get("machine")).lower()
    )
    libc = str(facts.get("libc"))
    if machine not in ("x86_64", "aarch64") or facts.get("system") != "Linux":
        raise BadRequest(f"--pip knows Linux on x86_64 and aarch64, and {image} is for {machine}")
    if libc == "musl":
        return f"{machine}-unknown-linux-musl"
    glibc = re.fullmatch(r"glibc 2\.(\d{1,3})(\.\d+)?", libc)
    minor = max((each for each in _GLIBC if glibc and each <= int(glibc[1])), default=0)
    if not minor:
        raise BadRequest(
            f"--pip needs glibc 2.17 or musl, and {image} has {libc.strip() or 'an unknown C library'}"
        )
    return f"{machine}-manylinux_2_{minor}"
