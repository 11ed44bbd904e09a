"""The heavy libraries behind tables, imported on first use; a missing library is one sentence."""

from __future__ import annotations

import importlib
from typing import Any

from bacalhau_jupyter.models.errors import BacalhauError


def require_pandas() -> Any:
    """Import pandas, or say how to get it."""
    return _require("pandas", "data")


def require_pyarrow(what: str = "this") -> Any:
    """Import pyarrow, or say how to get it; ``what`` names the thing that needs it."""
    return _require("pyarrow", "data", what)


def require_polars() -> Any:
    """Import polars, or say how to get it."""
    return _require("polars", "polars")


def require_openpyxl(what: str) -> Any:
    """Import openpyxl, or say how to get it."""
    return _require("openpyxl", "data", what)


def _require(module: str, extra: str, what: str = "this") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BacalhauError(
            f"{what} needs {module}, which is not installed in this kernel",
            hint=f"pip install 'bacalhau-jupyter[{extra}]'",
            component="Results",
        ) from error
