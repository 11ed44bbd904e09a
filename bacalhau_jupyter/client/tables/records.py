"""JSON and JSON lines as records: types are those that JSON has, nothing is guessed from names or texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from bacalhau_jupyter.client.tables.detect import Kind
from bacalhau_jupyter.models.errors import BacalhauError


def read_records(raw: bytes, kind: Kind, name: str) -> list[Mapping[str, Any]] | Mapping[str, list[Any]]:
    """Return the rows of a JSON text, or its columns where it is written by columns.

    Understood are lines of objects, an array of objects, an object of equally long arrays, and what pandas
    writes with ``orient="split"`` and ``orient="table"``.

    Parameters
    ----------
    raw
        In UTF-8, without a byte order mark.

    Raises
    ------
    BacalhauError
        It is JSON, but not a table.
    """
    text = raw
    if kind is Kind.JSONL:
        rows = _lines(text)
        if all(isinstance(row, dict) for row in rows):
            return rows
        raise _no_table(name)
    plain = _decoded(text)
    if isinstance(plain, dict) and isinstance(plain.get("data"), list):
        # As pandas writes it: "table" has a schema beside the records, "split" the columns beside the rows.
        if isinstance(plain.get("columns"), list) and "schema" not in plain:
            return [dict(zip(map(str, plain["columns"]), row, strict=True)) for row in plain["data"]]
        if isinstance(plain.get("schema"), dict):
            plain = plain["data"]
    if isinstance(plain, list) and all(isinstance(row, dict) for row in plain):
        return plain
    columns = list(plain.values()) if isinstance(plain, dict) else []
    if columns and all(isinstance(column, list) for column in columns) and len(set(map(len, columns))) == 1:
        return dict(plain)
    raise _no_table(name)


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # NaN and Infinity, which Python itself writes, are known to its own parser only.
        return json.loads(text)


def _lines(text: bytes) -> list[Any]:
    try:
        return msgspec.json.Decoder().decode_lines(text)
    except msgspec.DecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def _no_table(name: str) -> BacalhauError:
    return BacalhauError(
        f"{name} is JSON, but not a table",
        hint="a table is an array of objects, an object per line, or an object of equally long arrays; "
        "result.json() returns anything",
        component="Results",
    )
