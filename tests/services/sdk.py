"""The official Python SDK in an environment of its own: it needs an old Python and pins many packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services.common import ServiceUnavailableError, cache_dir, one_process_at_a_time, run

VERSION = "1.4.2"
INSTALL_TIMEOUT_S = 600.0
# Newest first; from 3.12 on the SDK's generated client does not import.
_PYTHONS = ("python3.11", "python3.10", "python3.9")


def obtain() -> Path:
    """Return the Python of an environment that has the SDK, making it once.

    Raises
    ------
    ServiceUnavailableError
        There is no Python older than 3.12, or the SDK can't be installed.
    """
    with one_process_at_a_time("sdk"):
        return _obtain(cache_dir() / f"bacalhau-sdk-{VERSION}")


def _obtain(directory: Path) -> Path:
    python = directory / "bin" / "python"
    stamp = directory / ".complete"
    if stamp.exists() and python.exists():
        return python
    run([_old_python(), "-m", "venv", "--clear", str(directory)], timeout_s=120)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    # Its generated client imports what newer setuptools no longer bring.
    run([*pip, f"bacalhau-sdk=={VERSION}", "setuptools<80"], timeout_s=INSTALL_TIMEOUT_S)
    stamp.touch()
    return python


def _old_python() -> str:
    if sys.version_info < (3, 12):
        return sys.executable
    for name in _PYTHONS:
        executable = shutil.which(name)
        if executable and _runs(executable):
            return executable
    raise ServiceUnavailableError(f"bacalhau-sdk {VERSION} needs a Python older than 3.12, and there is none")


def _runs(python: str) -> bool:
    done = subprocess.run(
        [python, "-c", "import venv"], capture_output=True, timeout=30, check=False, env=dict(os.environ)
    )
    return done.returncode == 0
