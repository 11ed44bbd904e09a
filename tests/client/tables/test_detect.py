"""What a file is, by content and name."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest

from bacalhau_jupyter.client.tables import TABLE_SUFFIXES, looks_like_table, table_rank
from bacalhau_jupyter.client.tables.detect import Kind, detect, dialect_of, encoding_of

TABLE = b"a,b\n1,2\n3,4\n"


@pytest.mark.parametrize(
    ("name", "head", "is_table"),
    [
        ("x.csv", b"", True),
        ("x.CSV.GZ", b"", True),
        ("x.png", b"", False),
        ("outputs/x.csv", TABLE, True),
        ("x.bin", b"PAR1\x15\x04", True),
        ("part-00000", TABLE, True),
        ("part-00000", b"one line of prose, with a comma\nand another\n", False),
        ("part-00000.gz", gzip.compress(TABLE, mtime=0), True),
        ("x.csv.bz2", bz2.compress(TABLE), True),
        ("x.csv.xz", lzma.compress(TABLE), True),
        ("x.csv.zst", b"\x28\xb5\x2f\xfd\x00", True),
        ("events", b'{"a": 1}\n{"a": 2}\n', True),
        ("stdout", TABLE, False),
        ("notes.md", TABLE, False),
        ("x.parquet", b"<html>not found</html>", False),
        ("x.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)), False),
        ("x.json", b"[1, 2]", True),
        ("x.json", b'"text"', False),
        ("book.xlsx", b"PK\x03\x04rest", True),
        ("code.zip", b"PK\x03\x04rest", False),
        ("broken.csv.gz", b"\x1f\x8b\x08garbage", False),
    ],
)
def test_content_decides_first_and_the_name_where_text_could_be_anything(
    name: str, head: bytes, is_table: bool
) -> None:
    assert looks_like_table(name, head) is is_table


def test_formats_that_keep_most_come_first() -> None:
    names = ["z.txt", "a.json", "b.csv.gz", "c.feather", "d.parquet", "e.jsonl"]
    assert sorted(names, key=table_rank) == [
        "d.parquet",
        "c.feather",
        "b.csv.gz",
        "e.jsonl",
        "a.json",
        "z.txt",
    ]
    assert table_rank("z.txt") == len(TABLE_SUFFIXES)


@pytest.mark.parametrize(
    ("name", "text", "delimiter", "decimal"),
    [
        ("x.csv", "a,b\n1,2\n", ",", "."),
        ("x.csv", "a;b\n1,5;2\n", ";", ","),
        ("x.csv", "a;b\n1,5;2.5\n", ";", "."),
        ("x.csv", "a\tb\nx, y\tz\n", "\t", "."),
        ("x.tsv", "a\tb,c\n1\t2\n", "\t", "."),
        ("x.csv", 'a,b\n"x;y;z",2\n"p;q;r",3\n', ",", "."),
        ("x.csv", "a|b|c\n1|2|3\n", "|", "."),
        ("x.csv", "only\n1\n2\n", ",", "."),
        ("x.csv", "a;b", ";", "."),
        ("x.csv", 'a,b\n"two\nlines",2\n', ",", "."),
    ],
)
def test_the_delimiter_is_the_one_that_splits_all_rows_alike(
    name: str, text: str, delimiter: str, decimal: str
) -> None:
    dialect = dialect_of(name, text.encode())
    assert (dialect.delimiter, dialect.decimal) == (delimiter, decimal)


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("é,b".encode(), "utf-8"),
        ("é,b".encode("utf-8-sig"), "utf-8-sig"),
        ("a,b\n".encode("utf-16"), "utf-16"),
        ("a,b\n".encode("utf-32"), "utf-32"),
        ("a,b\n".encode("utf-16-le"), "utf-16-le"),
        ("a,b\n".encode("utf-16-be"), "utf-16-be"),
        ("é,b".encode("cp1252"), ""),
        (("x" * 99 + "é").encode()[:-1], "utf-8"),
    ],
)
def test_encodings_are_recognised_by_mark_zeros_and_validity(head: bytes, encoding: str) -> None:
    assert encoding_of(head) == encoding


def test_json_lines_are_distinguished_from_one_object_whatever_the_name() -> None:
    assert detect("x.json", b'{"a": 1}\n{"a": 2}\n') is Kind.JSONL
    assert detect("x.json", b'{\n "a": [1]\n}') is Kind.JSON
