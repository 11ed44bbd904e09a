"""`read_tables`: one or several files into one frame."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bacalhau_jupyter.client.tables.columnar import COLUMNAR, read_columnar
from bacalhau_jupyter.client.tables.detect import (
    HEAD_BYTES,
    TABLE_SUFFIXES,
    Kind,
    compression_of,
    detect,
    dialect_of,
    encoding_of,
)
from bacalhau_jupyter.client.tables.excel import read_excel
from bacalhau_jupyter.client.tables.libraries import (
    require_pandas,
    require_polars,
    require_pyarrow,
)
from bacalhau_jupyter.client.tables.records import read_records
from bacalhau_jupyter.client.tables.sizes import TooLargeForFrame, check_records, expected_bytes, open_capped
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.units import format_bytes

SIZE_LIMIT = 2_000_000_000
"""Bytes that one frame may take; more is refused rather than sampled."""

NAMES_LIMIT = 2_000_000
"""Characters of all column names together."""

Backend = Literal["pandas", "polars", "arrow"]


@dataclass(frozen=True)
class TableFile:
    """One local file of a table, and the name that its rows get in the column ``source``."""

    path: Path
    source: str


@dataclass(frozen=True)
class Opened:
    """A file of which is known what it holds."""

    file: TableFile
    kind: Kind
    compression: str
    head: bytes
    encoding: str = ""

    @property
    def is_text(self) -> bool:
        """Whether its types are guessed from text, so that a column may as well be read as text."""
        return self.kind is Kind.CSV


def read_tables(
    files: Sequence[TableFile],
    *,
    backend: Backend = "pandas",
    size_limit: int = SIZE_LIMIT,
    encoding: str | None = None,
) -> Any:
    """Read one or several files into one frame; several get a column ``source`` with each file's name.

    Formats are recognised by content first, then by name: Parquet, Arrow (file and stream), Feather, Excel (the first
    sheet), CSV with any usual delimiter and encoding, JSON and JSON lines; all but Excel also compressed.
    Columns are matched by name; one that a file lacks is empty in its rows. Where the types of a column differ,
    numbers widen, time zones become UTC, and text files are read again with that column as text; anything else is
    an error.

    Parameters
    ----------
    files
        The files, in the order of the rows.
    backend
        ``"pandas"`` gives a `pandas.DataFrame`, ``"polars"`` a `polars.DataFrame`, ``"arrow"`` a `pyarrow.Table`.
    size_limit
        Bytes that the frame may take, judged by file sizes, by what formats tell of themselves, and while reading.
    encoding
        Of text files; if left out, from the byte order mark, else UTF-8.

    Raises
    ------
    TooLargeForFrame
        They take more than ``size_limit``.
    BacalhauError
        A file is not a table or broken, its encoding is unknown, columns can't be joined, or the library is not
        installed.
    """
    if backend not in ("pandas", "polars", "arrow"):
        raise BadRequest(f"backend {backend!r} is not one of pandas, polars, arrow")
    if not files:
        raise BadRequest("no files to read")
    known_encoding = _known_encoding(encoding)
    items = [
        replace(opened(file, alone=len(files) == 1, encoding=known_encoding), encoding=known_encoding)
        for file in files
    ]
    expected = sum(_guarded(item, expected_bytes, item.kind, item.compression) for item in items)
    if expected > size_limit:
        raise TooLargeForFrame(_named(files), expected, size_limit)
    if backend == "pandas":
        require_pandas()
        from bacalhau_jupyter.client.tables import merging

        return merging.merged_pandas(_Reader(items, size_limit, _pandas_frame))
    require_pyarrow(f'backend="{backend}"')
    polars = require_polars() if backend == "polars" else None
    from bacalhau_jupyter.client.tables import merging

    table = merging.merged_arrow(_Reader(items, size_limit, _arrow_table))
    return table if polars is None else guarded("the table", polars.from_arrow, table)


class _Reader:
    """Reads the files one after the other within one budget."""

    def __init__(self, files: Sequence[Opened], limit: int, read: Any) -> None:
        self.files = files
        self._limit = limit
        self._read = read

    def frames(self, as_text: Collection[str] = ()) -> list[Any]:
        """Read all files; columns of ``as_text`` stay text where a file is text."""
        left, frames = self._limit, []
        for item in self.files:
            frame, taken = _guarded(item, self._read, item, as_text, left, self._limit)
            left = max(0, left - taken)
            _check_names(item.file.source, frame)
            frames.append(frame)
        return frames


def _check_names(source: str, table: Any) -> None:
    """Refuse column names that no view could show: pandas shows them whole."""
    names = table.column_names if hasattr(table, "column_names") else table.columns
    size = sum(len(str(name)) for name in names)
    if size > NAMES_LIMIT:
        raise BacalhauError(
            f"{source} can't be read as a table: the names of its columns take {format_bytes(size)}",
            component="Results",
        )


def _known_encoding(encoding: str | None) -> str:
    """Return Python's name of an encoding that a person named; nothing for None."""
    if encoding is None:
        return ""
    try:
        codec = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError, TypeError) as error:
        raise BadRequest(
            f"encoding={encoding!r} is not known", hint='usual are "utf-8", "cp1252", "latin-1", "shift_jis"'
        ) from error
    return codec.name


def _unknown(name: str) -> BadRequest:
    return BadRequest(
        f"{name} is not UTF-8, and its content does not show its encoding",
        hint='give the encoding: df(encoding="cp1252") for Western Windows, "latin-1", "shift_jis", …',
    )


def opened(file: TableFile, *, alone: bool = True, encoding: str = "") -> Opened:
    """Look at a file's first bytes; an empty one is a table without rows where it is not ``alone``."""
    try:
        with file.path.open("rb") as raw:
            head = raw.read(HEAD_BYTES)
        compression = compression_of(head)
        if compression:
            with open_capped(file.path, compression, 2 * HEAD_BYTES + (1 << 20), 0) as stream:
                head = stream.raw.read(HEAD_BYTES) or b""
    except OSError as error:
        raise BacalhauError(f"{file.source} can't be read: {error}", component="Results") from error
    except Exception as error:
        raise _broken(file.source, error) from error
    if not head and not alone:
        return Opened(file, Kind.CSV, compression, head)
    if not head:
        raise BacalhauError(f"{file.source} is empty: no table", component="Results")
    # Asked for by name it is to be read, whatever `detect` would not take for a table by itself.
    kind = detect(file.source, head) or detect("x.csv", head) or (Kind.CSV if encoding else None)
    if kind is None:
        old = ", an Excel file in the format from before 2007" if head.startswith(b"\xd0\xcf\x11\xe0") else ""
        raise BadRequest(
            f"{file.source} is not a table{old}",
            hint="readable are " + " ".join(TABLE_SUFFIXES) + ", also compressed",
        )
    return Opened(file, kind, compression, head)


def _guarded(item: Opened, work: Any, *args: Any) -> Any:
    path = () if args and args[0] is item else (item.file.path,)
    return guarded(item.file.source, work, *path, *args)


def guarded(name: str, work: Any, *args: Any) -> Any:
    """Turn whatever a parser says of a broken or hostile file into one sentence."""
    try:
        return work(*args)
    except BacalhauError:
        raise
    except MemoryError as error:
        raise BacalhauError(
            f"{name} does not fit into this kernel's memory", hint="aggregate in the job", component="Results"
        ) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> BacalhauError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BacalhauError(f"{name} can't be read as a table: {reason}", component="Results")


def _pandas_frame(item: Opened, as_text: Collection[str], budget: int, limit: int) -> tuple[Any, int]:
    """Return the frame and the bytes it took from the budget."""
    pandas = require_pandas()
    if item.kind in COLUMNAR:
        table = read_columnar(item.file.path, item.kind, item.compression, budget, limit)
        return table.to_pandas(), table.nbytes
    if not item.head:
        return pandas.DataFrame(), 0
    if item.kind is Kind.EXCEL:
        return read_excel(item.file.path, item.file.source, budget, limit)
    if item.kind is Kind.CSV:
        return _csv(
            item,
            budget,
            limit,
            lambda stream, dialect: pandas.read_csv(
                stream,
                sep=dialect.delimiter,
                encoding=dialect.encoding,
                decimal=dialect.decimal,
                dtype=dict.fromkeys(as_text, "str") or None,
                low_memory=False,
            ),
        )
    with open_capped(item.file.path, item.compression, budget, limit) as stream:
        raw = stream.read()
    records = read_records(_recoded(raw, item), item.kind, item.file.source)
    check_records(records, item.file.source, budget, limit)
    return pandas.DataFrame(records), len(raw)


def _arrow_table(item: Opened, as_text: Collection[str], budget: int, limit: int) -> tuple[Any, int]:
    pa = require_pyarrow()
    if item.kind in COLUMNAR:
        table = read_columnar(item.file.path, item.kind, item.compression, budget, limit)
        return table, table.nbytes
    if not item.head:
        return pa.table({}), 0
    if item.kind is Kind.EXCEL:
        frame, taken = _pandas_frame(item, as_text, budget, limit)
        return pa.Table.from_pandas(frame, preserve_index=False), taken
    if item.kind is Kind.CSV:
        from pyarrow import csv

        table, taken = _csv(
            item,
            budget,
            limit,
            lambda stream, dialect: csv.read_csv(
                stream,
                read_options=csv.ReadOptions(encoding=dialect.encoding),
                parse_options=csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(as_text, pa.string()),
                    decimal_point=dialect.decimal,
                    strings_can_be_null=True,
                ),
            ),
        )
        # Arrow makes bytes of values that are not text.
        if any(pa.types.is_binary(field.type) for field in table.schema):
            raise _undecodable(item, item.encoding or "utf-8")
        return table, taken
    with open_capped(item.file.path, item.compression, budget, limit) as stream:
        raw = stream.read()
    records = read_records(_recoded(raw, item), item.kind, item.file.source)
    check_records(records, item.file.source, budget, limit)
    return pa.table(records) if isinstance(records, dict) else pa.Table.from_pylist(records), len(raw)


def _csv(item: Opened, budget: int, limit: int, read: Any) -> tuple[Any, int]:
    """Parse a delimited text."""
    dialect = dialect_of(item.file.source, item.head, item.encoding)
    if not dialect.encoding:
        raise _unknown(item.file.source)
    with open_capped(item.file.path, item.compression, budget, limit) as stream:
        try:
            frame = read(stream, dialect)
        except UnicodeDecodeError as error:
            raise _undecodable(item, dialect.encoding) from error
        except ValueError as error:
            # Arrow says it in words.
            if "utf" in str(error).lower() or "unicode" in str(error).lower():
                raise _undecodable(item, dialect.encoding) from error
            raise
        return frame, stream.raw.taken  # type: ignore[attr-defined]


def _undecodable(item: Opened, encoding: str) -> BadRequest:
    if item.encoding:
        return BadRequest(
            f"{item.file.source} is not written in {encoding}: some of its bytes are not valid in it"
        )
    return _unknown(item.file.source)


def _recoded(raw: bytes, item: Opened) -> bytes:
    """Return JSON in UTF-8, as its readers want it."""
    encoding = item.encoding or encoding_of(raw[:4096])
    if not encoding:
        raise _unknown(item.file.source)
    try:
        # "utf-8" itself is checked here, too: the readers would say it in other words.
        text = raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise _undecodable(item, encoding) from error
    return text.encode()


def _named(files: Sequence[TableFile]) -> str:
    return files[0].source if len(files) == 1 else f"{len(files)} files"
