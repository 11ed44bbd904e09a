"""What looks like a Python environment, where every user can reach it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.engines.process.bench import SYSTEM_PYTHON

SITE = "lib/python3.11/site-packages"


def make_python(prefix: Path) -> Path:
    """Make an environment of the system's Python at ``prefix``; return its site directory."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python3").symlink_to(SYSTEM_PYTHON or "/usr/bin/python3")
    site = prefix / SITE
    site.mkdir(parents=True)
    open_way(prefix)
    return site


def open_way(path: Path) -> None:
    """Let everybody through to a path below the directory for temporary files."""
    for directory in (path, *path.parents):
        if directory == Path(tempfile.gettempdir()):
            break
        directory.chmod(directory.stat().st_mode | 0o055)
