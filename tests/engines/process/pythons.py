"""What looks like a Python environment, where every user can reach it."""

from __future__ import annotations

from pathlib import Path

from tests.engines.process.bench import SYSTEM_PYTHON
from tests.services.common import open_way

SITE = "lib/python3.11/site-packages"


def make_python(prefix: Path) -> Path:
    """Make an environment of the system's Python at ``prefix``; return its site directory."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python3").symlink_to(SYSTEM_PYTHON or "/usr/bin/python3")
    site = prefix / SITE
    site.mkdir(parents=True)
    open_way(prefix)
    return site
