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
_FIXED_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}


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
    """Return the least memory that the file takes once read, in bytes; what is compressed tells only while read."""
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
    widths = 0
    for position in range(meta.num_columns):
        widths += _FIXED_WIDTHS.get(meta.schema.column(position).physical_type, _POINTER_BYTES)
    encoded = sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))
    return int(max(encoded, meta.num_rows * widths))


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
