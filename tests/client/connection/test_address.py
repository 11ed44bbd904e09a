"""The address of a cluster as a person enters it."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.client.connection.address import checked_address
from bacalhau_jupyter.models.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("box", "http://box:1234"),
        (" box:80 ", "http://box:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("https://box", "https://box"),
        ("HTTPS://box/User", "https://box/User"),
        ("http://box:1234/", "http://box:1234"),
        ("http://box:1234/api/v1/agent/alive", "http://box:1234"),
        ("https://hub/user/me/bacalhau/api/v1", "https://hub/user/me/bacalhau"),
        ("https://hub/user/me/bacalhau", "https://hub/user/me/bacalhau"),
    ],
)
def test_an_address_becomes_a_url_that_ends_before_the_api(text: str, url: str) -> None:
    assert checked_address(text) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("nats://box:4222", "where compute nodes join"),
        ("ftp://box", "not the address"),
        ("http://me:hush@box", "holds a user or a password"),
        ("http://box?x=1", "not the address"),
        ("http://box#x", "not the address"),
        ("http://b ox", "not the address"),
        ("http://", "names no host"),
        ("http://box:99999", "not the address"),
        ("http://bo\x1bx", "not the address"),
    ],
)
def test_anything_else_is_refused_in_one_sentence_that_repeats_no_password(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason) as caught:
        checked_address(text)
    assert "hush" not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.hint
