"""The modules that package the labextension, which lie outside every package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "labextension"


def packaging(name: str) -> ModuleType:
    """Return ``bundle``, ``backend`` or ``hook``."""
    sys.path.insert(0, str(FOLDER / "packaging"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER / "packaging"))
