"""Inline inputs as they travel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.transfer.archive.data_urls import (
    DataURL,
    check_data_url,
    decode_data_url,
    encode_data_url,
)


@given(st.binary(max_size=2000))
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    url = encode_data_url(data, "text/csv")
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
def test_an_invalid_data_url_is_refused_with_a_reason(url: object, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        check_data_url(url)


def test_broken_base64_is_reported() -> None:
    with pytest.raises(BadRequest, match="not base64"):
        decode_data_url("data:;base64,a!b?")
