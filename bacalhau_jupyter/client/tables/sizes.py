"""How much memory a table will take: from the format's own figures, or counted while the table is read.

A Parquet footer holds rows and encoded sizes per column; an Arrow buffer has the size of the memory it takes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bacalhau_jupyter.client.tables.detect import Kind
from bacalhau_jupyter.client.tables.libraries import require_pyarrow
from bacalhau_jupyter.models.errors import BacalhauError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_POINTER_BYTES = 8
FIXED_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a value, by the physical types of Parquet whose values have all one size."""


class TooLargeForFrame(BacalhauError):
    """The files would take more memory than the caller allows."""

    default_code = "ResultTooLarge"

    def __init__(self, what: str, size: int, limit: int, *, at_least: bool = False) -> None:
        much = f"at least {size:,}" if at_least else f"{size:,}"
        super().__init__(
            f"{what} would take {much} bytes in memory; the limit for one frame is {limit:,}",
            hint=f"give size_limit={_rounded(size)} to df() if this machine has the memory, read fewer files, "
            "or aggregate in the job (nothing is ever sampled)",
            component="Results",
        )


def _rounded(size: int) -> str:
    """Return the next size with two figures above what is needed, as a person would write it."""
    unit = 10 ** (len(str(size)) - 2) if size > 99 else 1
    return f"{(size // unit + 1) * unit:_}"


def expected_bytes(path: Path, kind: Kind, compression: str) -> int:
    """Return the least memory that the file takes once read, in bytes; compressed data shows it only when read."""
    size = path.stat().st_size
    if compression:
        return size
    if kind is Kind.PARQUET:
        return max(size, _parquet_bytes(path))
    if kind is Kind.EXCEL:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(item.file_size for item in archive.infolist()))
    return size


def _parquet_bytes(path: Path) -> int:
    """Estimate from the footer: encodings pack a million equal values into a few bytes, so rows count, too."""
    require_pyarrow(path.name)
    from pyarrow import parquet

    meta = parquet.read_metadata(path)
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    encoded = sum(group.total_byte_size for group in groups)
    return int(max(encoded, sum(value_bytes(group) for group in groups)))


def value_bytes(group: Any, *, beyond_rows: bool = False) -> int:
    """Return the least memory that the values of a row group take; a row may hold a list of many.

    Parameters
    ----------
    beyond_rows
        Count only those that a column has more of than there are rows.
    """
    chunks = [group.column(number) for number in range(group.num_columns)]
    less = group.num_rows if beyond_rows else 0
    return sum(
        max(0, chunk.num_values - less) * FIXED_WIDTHS.get(chunk.physical_type, _POINTER_BYTES)
        for chunk in chunks
    )


def check_records(records: Any, name: str, budget: int, limit: int) -> None:
    """Refuse records that become a frame with far more cells than they have values.

    Raises
    ------
    TooLargeForFrame
        A cell for each record and name takes more than ``budget``.
    """
    if not isinstance(records, list):
        return
    names: set[Any] = set()
    for number, record in enumerate(records, 1):
        names.update(record if isinstance(record, dict) else ())
        if number * len(names) * _POINTER_BYTES > budget:
            size = limit - budget + len(records) * len(names) * _POINTER_BYTES
            raise TooLargeForFrame(name, size, limit, at_least=True)


class Capped(io.RawIOBase):
    """Bytes from a stream, up to a limit.

    Raises
    ------
    TooLargeForFrame
        Reading goes past the limit: a decompression bomb must not be read to its end.
    """

    def __init__(self, inner: BinaryIO, budget: int, name: str, limit: int) -> None:
        self._inner = inner
        self._budget = budget
        self._name = name
        self._limit = limit
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._inner.read(len(view))
        self.taken += len(data)
        if self.taken > self._budget:
            used = self._limit - self._budget
            raise TooLargeForFrame(self._name, used + self.taken, self._limit, at_least=True)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


def open_capped(path: Path, compression: str, budget: int, limit: int) -> io.BufferedReader:
    """Open a file for reading, decompressed, of which at most ``budget`` bytes may come."""
    return io.BufferedReader(Capped(_opened(path, compression), budget, path.name, limit), 1 << 20)


def _opened(path: Path, compression: str) -> BinaryIO:
    if compression == "gzip":
        return cast("BinaryIO", gzip.open(path, "rb"))
    if compression == "bz2":
        return cast("BinaryIO", bz2.open(path, "rb"))
    if compression == "xz":
        return cast("BinaryIO", lzma.open(path, "rb"))
    if compression == "zstd":
        stream: Any = require_pyarrow(path.name).input_stream(str(path), compression="zstd")
        return cast("BinaryIO", stream)
    return path.open("rb")
