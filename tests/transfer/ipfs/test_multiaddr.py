"""Multiaddresses of RPC APIs to URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transfer.ipfs.multiaddr import rpc_url

PEER = "12D3KooWFiX43p1qdxF93CsCQcLpmE6LrZQSEiPfmKB3G98Qo5nn"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        (" /ip4/10.0.0.1/tcp/5001/http/ ", "http://10.0.0.1:5001"),
        ("/ip6/::1/tcp/5001", "http://[::1]:5001"),
        ("/dns/ipfs.example.org/tcp/443/https", "https://ipfs.example.org:443"),
        ("/dns4/ipfs/tcp/443/tls/http", "https://ipfs:443"),
        ("/dns6/ipfs.example.org/tcp/80/http", "http://ipfs.example.org:80"),
        (f"/ip4/127.0.0.1/tcp/5001/p2p/{PEER}", "http://127.0.0.1:5001"),
        (f"/dnsaddr/a.b/tcp/5001/https/ipfs/{PEER}", "https://a.b:5001"),
    ],
)
def test_an_address_becomes_a_url(address: str, url: str) -> None:
    assert rpc_url(address) == url


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:5001", "does not start with /"),
        ("", "does not start with /"),
        ("/ip4", "names no host"),
        ("/ip4/127.0.0.1", "names no TCP port"),
        ("/ip4/127.0.0.1/udp/5001", "names no TCP port"),
        ("/ip4/::1/tcp/5001", "'::1' is not an IPv4 address"),
        ("/ip6/127.0.0.1/tcp/5001", "is not an IPv6 address"),
        ("/ip4/127.0.0.1/tcp/70000", "'70000' is not a port"),
        ("/ip4/127.0.0.1/tcp/0", "is not a port"),
        ("/dns/a b/tcp/5001", "is not a host name"),
        ("/dns/user@host/tcp/5001", "is not a host name"),
        ("/unix/run/ipfs.sock/tcp/1", "is not ip4, ip6 or dns"),
        ("/ip4/127.0.0.1/tcp/4001/quic-v1", "/quic-v1 after the port is not understood"),
    ],
)
def test_what_is_wrong_is_named(address: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rpc_url(address)
    assert reason in caught.value.message
    assert "/ip4/127.0.0.1/tcp/5001" in caught.value.hint


@given(st.text(alphabet="/ip4dnstcp0127.:@#?%é ", max_size=40))
def test_nothing_but_one_sentence_comes_of_any_text(text: str) -> None:
    try:
        url = rpc_url(text)
    except ConfigurationError:
        return
    assert url.startswith(("http://", "https://"))
    assert not set(url.partition("://")[2]) & set("/@#?% ")
