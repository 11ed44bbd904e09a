"""Addresses as settings hold them."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.lib.nearby import bracketed, is_every_address


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "[::]", "0:0::0"])
def test_the_unspecified_address_and_no_address_stand_for_all_addresses(host: str) -> None:
    assert is_every_address(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "192.0.2.7", "localhost", "box.example"])
def test_other_addresses_stand_for_themselves(host: str) -> None:
    assert not is_every_address(host)


def test_only_an_address_with_colons_gets_brackets_and_only_once() -> None:
    hosts = ("box.example", "192.0.2.7", "2001:db8::1", "[2001:db8::1]")
    assert [bracketed(host) for host in hosts] == [
        "box.example",
        "192.0.2.7",
        "[2001:db8::1]",
        "[2001:db8::1]",
    ]
