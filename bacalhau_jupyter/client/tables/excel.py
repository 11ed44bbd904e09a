"""Excel files as frames, within a budget: a few bytes may name a cell a million rows and 16 384 columns away."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.tables.libraries import require_openpyxl, require_pandas
from bacalhau_jupyter.client.tables.sizes import TooLargeForFrame

_CELL_BYTES = 50
"""Memory that a cell takes while it is read, also an empty one."""


def read_excel(path: Path, name: str, budget: int, limit: int) -> tuple[Any, int]:
    """Return the first sheet as a `pandas.DataFrame`, and the bytes that it took from the budget.

    Raises
    ------
    TooLargeForFrame
        Its rows and columns would take more than ``budget``.
    """
    openpyxl = require_openpyxl(name)
    pandas = require_pandas()
    # From memory: of a broken file the library would leave a handle open.
    raw = path.read_bytes()
    book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
    try:
        for sheet in book.worksheets[:1]:
            sheet.__class__ = _counted(type(sheet), name, budget, limit)
        with pandas.ExcelFile(book, engine="openpyxl") as file:
            return pandas.read_excel(file), len(raw)
    finally:
        book.close()


def _counted(kind: type[Any], name: str, budget: int, limit: int) -> type[Any]:
    """Return a class of sheets whose rows are counted: pandas makes all of them as wide as the widest."""

    class Counted(kind):  # type: ignore[misc]
        @property
        def rows(self) -> Iterator[Any]:
            width = 0
            for number, row in enumerate(super().rows, 1):
                width = max(width, len(row))
                if number * width * _CELL_BYTES > budget:
                    size = limit - budget + number * width * _CELL_BYTES
                    raise TooLargeForFrame(name, size, limit, at_least=True)
                yield row

    return Counted
