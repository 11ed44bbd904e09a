"""Bytecode of packages: jobs can't write it, so each one would compile all that it imports."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

TIMEOUT_S = 300.0
"""Seconds after which the rest stays as it is: compiling runs nothing, but hostile source can take for ever."""


def compile_below(site: Path, python: str, timeout_s: float = TIMEOUT_S) -> None:
    """Compile the modules below a directory, but for tests; what can't be compiled stays as it is. Blocks.

    Parameters
    ----------
    site
        The directory.
    python
        An interpreter of the version that will import them.
    timeout_s
        Seconds that it may take.
    """
    # The hash is unchecked: the bytecode is valid wherever the files go, whatever their times are then.
    options = ["-q", "-q", "-j", "0", "-x", r"/tests?/", "--invalidation-mode", "unchecked-hash"]
    with suppress(OSError):
        child = subprocess.Popen(
            [python, "-I", "-m", "compileall", *options, site.name],
            cwd=site.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout_s)
        finally:
            # Its workers, too.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
