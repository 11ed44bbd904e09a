"""Gives a program a directory that it can write to: where it stands, or a private one with its inputs and outputs.

Shipped with Python cells and with notebooks; runs on any Python from 3.8 on and imports nothing of this package.
"""

# ruff: noqa: PTH102, PTH108, PTH109, PTH112, PTH118, PTH211
from __future__ import annotations

import os


def enter_writable() -> None:
    """Stand in a directory of the body's own that holds ``inputs`` and ``outputs``."""
    here = os.getcwd()
    work = here
    if not _is_writable(here):
        import tempfile

        try:
            work = tempfile.mkdtemp(prefix="cell-")
        except OSError:
            # Nothing here can be written to; the body may well do without.
            return
    for name in ("inputs", "outputs"):
        place = os.environ.get(f"BACALHAU_{name.upper()}", os.path.join(here, name))
        _show(place, os.path.join(work, name))
    os.chdir(work)


def _show(place: str, name: str) -> None:
    """Let a directory be found under ``name``; an engine makes none where a job has no inputs."""
    try:
        if not os.path.isdir(place):
            os.mkdir(name)
        elif not os.path.lexists(name):
            os.symlink(place, name)
    except OSError:
        return


def _is_writable(path: str) -> bool:
    """Try it: permissions don't tell what a sandbox forbids."""
    probe = os.path.join(path, f".bacalhau-{os.getpid()}")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.unlink(probe)
    except OSError:
        return False
    return True
