"""Files to frames: tables in any common format, recognised by content and name, read into pandas, polars or Arrow.

Only what `looks_like_table` needs is imported here; pandas, pyarrow and polars are imported when a table is read.
"""

from __future__ import annotations

from bacalhau_jupyter.client.tables.detect import TABLE_SUFFIXES, looks_like_table, table_rank
from bacalhau_jupyter.client.tables.heads import read_head
from bacalhau_jupyter.client.tables.libraries import require_pandas
from bacalhau_jupyter.client.tables.reading import SIZE_LIMIT, Backend, TableFile, read_tables
from bacalhau_jupyter.client.tables.sizes import TooLargeForFrame

__all__ = [
    "SIZE_LIMIT",
    "TABLE_SUFFIXES",
    "Backend",
    "TableFile",
    "TooLargeForFrame",
    "looks_like_table",
    "read_head",
    "read_tables",
    "require_pandas",
    "table_rank",
]
