"""Inline inputs as they travel."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest, IOFailure
from bacalhau_jupyter.transfer.archive.data_urls import (
    DataURL,
    check_data_url,
    decode_data_url,
    encode_data_url,
    encode_inline,
)
from bacalhau_jupyter.transfer.archive.tar_gz import unpack_blocking
from tests.transfer.helpers import tree


@given(st.binary(max_size=2000), st.booleans())
def test_what_is_encoded_is_decoded(data: bytes, as_base64: bool) -> None:
    url = encode_data_url(data, "text/csv", as_base64=as_base64)
    assert decode_data_url(url) == DataURL("text/csv", data)


@pytest.mark.parametrize(
    ("url", "media_type", "data"),
    [
        ("data:,hello%20world", "text/plain", b"hello world"),
        ("data:text/plain;charset=utf-8;base64,aGk=", "text/plain", b"hi"),
        ("DATA:Application/GZIP;Base64,aGk", "application/gzip", b"hi"),
        (" data:;base64,aGk%3D", "text/plain", b"hi"),
        ("data:x/y;base64,-_-_\n", "x/y", b"\xfb\xff\xbf"),
        ("data:text/plain,a,b;base64,", "text/plain", b"a,b;base64,"),
    ],
)
def test_data_urls_are_read_as_the_standard_says_and_a_little_more(
    url: str, media_type: str, data: bytes
) -> None:
    assert decode_data_url(url) == DataURL(media_type, data)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "has no URL"),
        ("  ", "has no URL"),
        (7, "has no URL"),
        ("http://host/x", "not a data URL"),
        ("data:text/plain", "not a data URL"),
    ],
)
def test_what_is_no_data_url_is_refused_with_a_reason(url: object, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        check_data_url(url)


def test_broken_base64_is_told() -> None:
    with pytest.raises(BadRequest, match="not base64"):
        decode_data_url("data:;base64,a!b?")


def test_a_single_file_of_ours_stays_a_file_and_the_official_way_packs_it(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large.bin"
    small.write_bytes(b"x" * 512)
    large.write_bytes(os.urandom(513))
    for official in (False, True):
        assert decode_data_url(encode_inline(small, official=official)).data == small.read_bytes()
    plain = decode_data_url(encode_inline(large))
    assert (plain.is_archive, plain.data) == (False, large.read_bytes())
    packed = decode_data_url(encode_inline(large, official=True))
    assert packed.is_archive
    unpack_blocking(io.BytesIO(packed.data), tmp_path / "out")
    assert tree(tmp_path / "out") == {"large.bin": ("file", large.read_bytes(), 0o644)}


def test_a_directory_becomes_an_archive_of_its_contents(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/sub/a").write_bytes(b"a")
    url = decode_data_url(encode_inline(tmp_path / "in"))
    assert url.is_archive
    unpack_blocking(io.BytesIO(url.data), tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "in")


def test_inputs_that_no_request_can_carry_are_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in/huge").open("wb") as file:
        file.truncate(50_000_000_000)
    with (tmp_path / "random").open("wb") as file:
        file.write(os.urandom(9_000_000))
    # The sparse file would take minutes to read; only a refusal before reading is quick.
    for content in (tmp_path / "in/huge", tmp_path / "random", (tmp_path / "random").read_bytes()):
        with pytest.raises(BadRequest, match=r"takes .* and a job carries at most 7\.5 MB") as caught:
            encode_inline(content)
        assert "s3://" in caught.value.hint
    (tmp_path / "random").replace(tmp_path / "in/huge")
    with pytest.raises(BadRequest, match=r"more than 7\.5 MB packed"):
        encode_inline(tmp_path / "in")
    assert len(encode_inline(bytes(7_499_970))) <= 10_000_000


def test_an_unreadable_input_is_told(tmp_path: Path) -> None:
    with pytest.raises(IOFailure, match=r"could not read the inline input .*/none: no such file"):
        encode_inline(tmp_path / "none")
