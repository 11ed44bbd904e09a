"""Runs ``cell.sql`` with DuckDB; what the last statement returns becomes a Parquet file among the results."""

# ruff: noqa: PTH118, PTH123, PTH207
from __future__ import annotations

import math
import os
import pathlib
import re

from .places import KIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RESULT = "result.parquet"
_ROWS = "bacalhau result"
_SHOWN_TABLES = 20
_READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}


def main(spec: dict[str, Any], parameters: dict[str, Any]) -> int:
    """Run the cell; return the exit code.

    Parameters
    ----------
    spec
        Describes what goes in.
    parameters
        Those of a sweep: variables, like the plain values that the notebook sent.
    """
    from . import errors

    try:
        import duckdb
    except ImportError:
        ways = "; ".join(way.replace("NAME", "duckdb") for way in spec["ways"])
        errors.complain(f"Hint: {ways}\nthe job's Python has no module 'duckdb', which runs a sql cell")
        return 1
    with open(os.path.join(KIT, "cell.sql"), encoding="utf-8", newline="") as file:
        text = file.read()
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    start, query, own_statement = 0, "", True
    try:
        _prepare(connection, spec, parameters)
        own_statement = False
        statements = connection.extract_statements(text)
        for number, statement in enumerate(statements, 1):
            query = statement.query
            start = max(text.find(query, start), start)
            # What changes tables or files counts rows; it is not a query.
            kinds = [kind.name for kind in statement.expected_result_type]
            returns_rows = number == len(statements) and kinds == ["QUERY_RESULT"]
            _run(connection, query, returns_rows=returns_rows)
            start += len(query)
    except duckdb.Error as error:
        above = text[:start].count("\n") + spec["first_line"] - 1
        if "\nLINE " not in str(error):
            above += query[: len(query) - len(query.lstrip())].count("\n")
        message = with_tables(str(error), _tables(connection))
        if own_statement:
            # What stands there is no line of the cell.
            message = message.partition("\nLINE ")[0]
        errors.complain(describe(message, above, in_statement=bool(query)))
        return 1
    return 0


def _run(connection: Any, query: str, *, returns_rows: bool) -> None:
    if not returns_rows:
        _execute(connection, query)
        return
    try:
        relation = connection.sql(query)
    except Exception:
        # The same error again, which now says where it is.
        _execute(connection, query)
        raise
    if relation is None:
        return
    outputs = os.environ.get("BACALHAU_OUTPUTS", "outputs")
    try:
        _whole_numbers_kept(connection, relation).write_parquet(os.path.join(outputs, RESULT))
    except Exception as error:
        raise type(error)(_in_query(str(error), query)) from None


def _in_query(message: str, query: str) -> str:
    """Return what DuckDB says of a relation with the lines of its query, which DuckDB puts below a line of its own."""
    above = query[: len(query) - len(query.lstrip())].count("\n")
    return re.sub(r"(?<=\nLINE )\d+(?=: )", lambda number: str(int(number[0]) - 1 + above), message, count=1)


def _whole_numbers_kept(connection: Any, relation: Any) -> Any:
    """Return the rows with 128-bit integers as types that Parquet has.

    A sum of integers is one. DuckDB would write it as a double, which changes numbers above 2^53.
    """
    names = list(relation.columns)
    wide = [names[at] for at, kind in enumerate(relation.types) if str(kind) in ("HUGEINT", "UHUGEINT")]
    if not wide or len(set(names)) < len(names):
        return relation
    # The rows are needed twice: for their largest numbers, and to be written.
    relation.create(identifier(_ROWS))
    casts = []
    for name in wide:
        column = identifier(name)
        largest = f"SELECT max(abs({column}::DOUBLE)) FROM {identifier(_ROWS)}"
        most = connection.execute(largest).fetchall()[0][0] or 0.0
        kind = "BIGINT" if most < 2**63 else "DECIMAL(38, 0)" if most < 1e38 else "DOUBLE"
        casts.append(f"{column}::{kind} AS {column}")
    return connection.sql(f"SELECT * REPLACE ({', '.join(casts)}) FROM {identifier(_ROWS)}")


def _execute(connection: Any, query: str) -> None:
    """Run a statement to its end; its rows are not kept."""
    done = connection.execute(query)
    while done.description and done.fetchmany(10_000):
        pass


def _prepare(connection: Any, spec: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Make tables of the frames that the notebook sent, and variables of its plain values."""
    import tempfile

    # What does not fit into memory goes where the job can write.
    connection.execute(f"SET temp_directory = {literal(tempfile.gettempdir())}")
    limit = _memory_limit()
    if limit:
        # Threads, their stacks and what DuckDB does not count itself take the rest.
        connection.execute(f"SET memory_limit = {literal(str(int(limit * 0.4)) + 'B')}")
        connection.execute(f"SET threads = {max(1, min(os.cpu_count() or 1, limit >> 28))}")
    inputs = os.environ.get("BACALHAU_INPUTS", "inputs")
    for name, file in spec["tables"].items():
        source = _source(os.path.join(inputs, file))
        if source:
            connection.execute(f"CREATE VIEW {identifier(name)} AS SELECT * FROM {source}")
    # A number that JSON lacks came as a list with its name.
    sent = {name: float(each[0]) if isinstance(each, list) else each for name, each in spec["values"].items()}
    values = {**sent, **parameters}
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {identifier(name)} = {literal(value)}")


def _memory_limit() -> int:
    """Return how many bytes of data this process may hold; 0 means without limit."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    except (ImportError, OSError, ValueError):
        return 0
    return int(limit) if limit > 0 else 0


def _source(path: str) -> str:
    """Return the SQL that reads a file, or the tables below a directory; empty if nothing there is a table."""
    if not pathlib.Path(path).is_dir():
        stem = path[: -len(".gz")] if path.endswith(".gz") else path
        reader = _READERS.get(os.path.splitext(stem)[1].lower())  # noqa: PTH122
        return f"{reader}({literal(path)})" if reader else ""
    import glob

    for suffix, reader in _READERS.items():
        pattern = os.path.join(glob.escape(path), "**", "*" + suffix)
        if glob.glob(pattern, recursive=True):
            return f"{reader}({literal(pattern)}, union_by_name=true)"
    return ""


def identifier(name: str) -> str:
    """Quote a name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Write a plain value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return f"'{value!r}'::DOUBLE"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def describe(message: str, line_offset: int, *, in_statement: bool = False) -> str:
    """Return DuckDB's message with the cell's line numbers: the place first, the sentence last.

    Parameters
    ----------
    message
        What DuckDB says.
    line_offset
        Lines of the cell above the statement.
    in_statement
        Whether a statement was running: then it is named where the message says no place.
    """
    head, _, place = message.partition("\nLINE ")
    where = ""
    if place:
        number, _, code = place.partition(": ")
        line = int(number) + line_offset if number.isdecimal() else line_offset + 1
        shift = len(f"line {line}: ") - len(f"LINE {number}: ")
        code, _, caret = code.partition("\n")
        caret = " " * max(shift, 0) + caret[max(-shift, 0) :]
        where = f" (line {line})"
        head = f"line {line}: {code}\n{caret}\n{_sentence(head)}"
    else:
        head = _sentence(head)
        where = f" (statement at line {line_offset + 1})" if in_statement else ""
    return head + where


def with_tables(message: str, tables: list[str]) -> str:
    """Return what DuckDB says of a missing table with those that exist, in place of a table of its own."""
    existing = (
        f"the tables are {', '.join(tables)}" if tables else "there is no table; --in NAME sends a frame"
    )
    return re.sub(
        r"^(Catalog Error: Table with name .*? does not exist!)(\nDid you mean [^\n]*)?",
        lambda head: f"{head[1]}\n{existing}",
        message,
        count=1,
    )


def _tables(connection: Any) -> list[str]:
    try:
        rows = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT internal "
            "UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"
        ).fetchall()
    except Exception:
        # A statement failed inside a transaction, or the database is broken: the message stands for itself.
        return []
    return [name for (name,) in rows if name != _ROWS][:_SHOWN_TABLES]


def _sentence(text: str) -> str:
    """Return a message as one sentence in one line; what the sandbox can't download is said in our words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    sentence = "; ".join(lines)
    if lines and lines[0].startswith("Out of Memory Error"):
        return f"Hint: --memory gives the cell more (--memory 4gb)\n{lines[0]}"
    if lines and "extension" in lines[0]:
        return (
            "Hint: DuckDB's extensions can't be downloaded in a job: bring the data with -i (s3://…, https://…) "
            f"and read it from inputs/\n{lines[0]}"
        )
    return sentence


__all__ = ["RESULT", "describe", "identifier", "literal", "main", "with_tables"]
