"""What kind of table a file is: its first bytes decide, its name helps where text could be many things."""

from __future__ import annotations

import bz2
import codecs
import csv
import io
import lzma
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

HEAD_BYTES = 65_536
"""How much of a file is looked at."""


class Kind(StrEnum):
    """Formats that become a frame."""

    PARQUET = "Parquet"
    ARROW = "Arrow file"
    STREAM = "Arrow stream"
    FEATHER = "Feather 1"
    EXCEL = "Excel"
    CSV = "CSV"
    JSONL = "JSON lines"
    JSON = "JSON"


_BY_SUFFIX = {
    ".parquet": Kind.PARQUET,
    ".pq": Kind.PARQUET,
    ".feather": Kind.ARROW,
    ".arrow": Kind.ARROW,
    ".ipc": Kind.ARROW,
    ".arrows": Kind.STREAM,
    ".csv": Kind.CSV,
    ".tsv": Kind.CSV,
    ".tab": Kind.CSV,
    ".psv": Kind.CSV,
    ".jsonl": Kind.JSONL,
    ".ndjson": Kind.JSONL,
    ".json": Kind.JSON,
    ".xlsx": Kind.EXCEL,
    ".xlsm": Kind.EXCEL,
}

TABLE_SUFFIXES = tuple(_BY_SUFFIX)
"""File types that become a frame; those that keep most of a frame come first."""

_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".xz": "xz"}
_COMPRESSION_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
}
_BINARY = (Kind.PARQUET, Kind.ARROW, Kind.STREAM, Kind.FEATHER, Kind.EXCEL)
_MAGIC = {
    b"PAR1": Kind.PARQUET,
    b"ARROW1\x00\x00": Kind.ARROW,
    b"FEA1": Kind.FEATHER,
    # The continuation marker that opens each message since Arrow 0.15.
    b"\xff\xff\xff\xff": Kind.STREAM,
}
_PLAIN_NAMES = ("", ".txt", ".dat", ".out")
"""Endings that say nothing: there the text itself decides."""
_STREAMS = ("stdout", "stderr", "exitCode")
_DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
_SNIFFED_LINES = 50


def looks_like_table(name: str, head: bytes) -> bool:
    """Whether a file's name and first bytes say that it holds a table.

    Parameters
    ----------
    name
        Path or name of the file.
    head
        Its first bytes, compressed or not (a few kilobytes will do); empty when unknown: the name decides then.
    """
    suffix = _suffix(name)
    if not head:
        return suffix in _BY_SUFFIX
    inner = decompressed_head(head)
    if not inner:
        # zstd needs pyarrow, which is too slow to load for a list of files.
        return suffix in _BY_SUFFIX and compression_of(head) == "zstd"
    kind = detect(name, inner)
    if kind is Kind.JSON:
        return inner.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:1] in (b"[", b"{")
    return kind is not None


def table_rank(name: str) -> int:
    """Return the place of the file's type in `TABLE_SUFFIXES`; a file with another ending comes last."""
    suffix = _suffix(name)
    return TABLE_SUFFIXES.index(suffix) if suffix in _BY_SUFFIX else len(TABLE_SUFFIXES)


def detect(name: str, head: bytes) -> Kind | None:
    """Return the kind of table, or None when the file is not a table.

    Parameters
    ----------
    name
        Path or name of the file.
    head
        Its first bytes, decompressed.
    """
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    suffix = _suffix(name)
    named = _BY_SUFFIX.get(suffix)
    if head.startswith(b"PK\x03\x04"):
        return Kind.EXCEL if named is Kind.EXCEL or b"xl/" in head[:4096] else None
    text = decoded_head(head)
    if text is None or named in _BINARY:
        return None
    if named in (Kind.JSON, Kind.JSONL):
        return Kind.JSONL if _is_json_lines(text) else named
    if named is Kind.CSV:
        return named
    if suffix not in _PLAIN_NAMES or PurePosixPath(name).name in _STREAMS:
        return None
    if _is_json_lines(text):
        return Kind.JSONL
    return Kind.CSV if _regular_delimiter(text, ",\t;|") else None


def compression_of(head: bytes) -> str:
    """Return ``gzip``, ``bz2``, ``zstd`` or ``xz``, or nothing."""
    return next((name for magic, name in _COMPRESSION_MAGIC.items() if head.startswith(magic)), "")


def decompressed_head(head: bytes) -> bytes:
    """Return what the first bytes hold, as far as the standard library can tell (zstd: nothing)."""
    kind = compression_of(head)
    try:
        if kind == "gzip":
            return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        if kind == "bz2":
            return bz2.BZ2Decompressor().decompress(head, HEAD_BYTES)
        if kind == "xz":
            return lzma.LZMADecompressor(memlimit=256_000_000).decompress(head, HEAD_BYTES)
    except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
        return b""
    return b"" if kind else head


@dataclass(frozen=True)
class Dialect:
    """How a delimited text is written; ``encoding`` is empty when it is unknown."""

    encoding: str
    delimiter: str
    decimal: str


def dialect_of(name: str, head: bytes, encoding: str = "") -> Dialect:
    """Tell encoding (unless it is given), delimiter and decimal sign of a delimited text by its first bytes."""
    if encoding:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    else:
        encoding, text = encoding_of(head), decoded_head(head) or ""
    usual = _DELIMITERS.get(_suffix(name), ",")
    others = "".join(mark for mark in ",\t;|" if mark != usual)
    delimiter = _regular_delimiter(text, usual + others) or usual
    return Dialect(encoding, delimiter, _decimal(text, delimiter))


def encoding_of(head: bytes) -> str:
    """Return the encoding by its byte order mark, else UTF-16 by its zeros, else UTF-8; nothing when it is not text.

    Other encodings can't be recognised from a text: a guess would invent text.
    """
    # UTF-32's mark starts with UTF-16's.
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    if head[:2000].count(0) > len(head[:2000]) // 4:
        return "utf-16-le" if head[1:2] == b"\x00" else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return ""
    return "utf-8"


def decoded_head(head: bytes) -> str | None:
    """Return the first bytes as text; None when they are not text."""
    encoding = encoding_of(head)
    try:
        # What it says is not used, only where its delimiters are: those are ASCII in all other usual encodings.
        text = codecs.getincrementaldecoder(encoding or "latin-1")().decode(head)
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def _suffix(name: str) -> str:
    path = PurePosixPath(Path(name).name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix


def _is_json_lines(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines() if line.strip()][:2]
    return len(lines) == 2 and all(line.startswith("{") and line.endswith("}") for line in lines)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    lines = text.splitlines(keepends=True)
    # The last line may be cut off.
    whole = lines if len(text) < HEAD_BYTES // 4 or len(lines) == 1 else lines[:-1]
    try:
        rows = list(csv.reader(io.StringIO("".join(whole[:_SNIFFED_LINES])), delimiter=delimiter))
    except csv.Error:
        return []
    return [row for row in rows if row]


def _regular_delimiter(text: str, candidates: str) -> str:
    """Return the first delimiter that gives every row the same number of fields, two or more."""
    for delimiter in candidates:
        rows = _rows(text, delimiter)
        widths = {len(row) for row in rows}
        if len(rows) > 1 and len(widths) == 1 and widths.pop() > 1:
            return delimiter
    # A header alone: whichever splits it at all.
    return next((mark for mark in candidates if len(text.splitlines()) == 1 and mark in text), "")


def _decimal(text: str, delimiter: str) -> str:
    """Tell a decimal comma: no number is written with a point, at least one with a comma."""
    if delimiter == ",":
        return "."
    fields = [field.strip() for row in _rows(text, delimiter)[1:] for field in row]
    with_comma = any(_is_number(field.replace(",", ".", 1)) for field in fields if field.count(",") == 1)
    with_point = any("." in field and _is_number(field) for field in fields)
    return "," if with_comma and not with_point else "."


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdecimal()
