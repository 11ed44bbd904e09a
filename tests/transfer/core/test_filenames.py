"""Names that strangers choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.transfer.core.filenames import base_name, download_name, name_from_disposition


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.csv"', "a b.csv"),
        ("attachment; filename=plain.csv; size=1", "plain.csv"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.csv; filename=\"fallback\"", "€ rates.csv"),
        ("attachment; filename=\"fallback\"; filename*=utf-8'en'a%2Fb.csv", "b.csv"),
        ("attachment; filename*=nonsense''%41; filename=\"y\"", "y"),
        (r'attachment; filename="a\"b"', 'a"b'),
        ('attachment; filename="../../evil"', "evil"),
        (r'attachment; filename="..\\..\\evil.exe"', "evil.exe"),
        ('attachment; filename=".."', ""),
        ('attachment; filename="a\x00b\n"', "ab"),
        ("inline", ""),
        ("", ""),
    ],
)
def test_content_disposition_gives_a_base_name_and_nothing_else(header: str, name: str) -> None:
    assert name_from_disposition(header) == name


@pytest.mark.parametrize(
    ("url", "disposition", "redirected", "name"),
    [
        ("http://h/d/f.csv?x=/y", 'filename="other"', False, "f.csv"),
        ("http://h/d/f.csv", 'filename="other"', True, "other"),
        ("http://h/d/f.csv", 'filename=".."', True, "f.csv"),
        ("http://h/d/", "", False, "d"),
        ("http://h/", "", False, "download"),
        ("http://h/%2e%2e", "", False, "download"),
        ("http://h/a%2f..%2f..%2fetc", "", True, "etc"),
    ],
)
def test_names_follow_bacalhaus_order(url: str, disposition: str, redirected: bool, name: str) -> None:
    assert download_name(url, disposition, redirected) == name


@given(st.text(max_size=400))
def test_whatever_comes_the_name_is_a_single_legal_path_component(text: str) -> None:
    name = base_name(text)
    assert name not in (".", "..")
    assert not set(name) & {"/", "\\", "\0", "\n"}
    assert len(name.encode()) <= 255


def test_a_long_name_keeps_its_ending() -> None:
    assert base_name("é" * 300 + ".parquet").endswith("é.parquet")
