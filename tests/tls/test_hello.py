from __future__ import annotations

import functools
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.tls.hello import Hello, is_http, is_tls, is_whole, read_hello


@functools.cache
def hello_of(name: str | None, protocols: tuple[str, ...]) -> bytes:
    """Return the first bytes that OpenSSL sends."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
    return sent.read()


@pytest.mark.parametrize(
    ("name", "protocols"),
    [
        ("Node.Example.org", ("acme-tls/1",)),
        ("localhost", ()),
        ("127.0.0.1", ("h2", "http/1.1")),
        (None, ("h2",)),
    ],
)
def test_the_hello_of_a_real_client_says_name_and_protocols(
    name: str | None, protocols: tuple[str, ...]
) -> None:
    data = hello_of(name, protocols)
    assert is_tls(data)
    assert is_whole(data)
    # An address is no server name (RFC 6066).
    said = "" if name in (None, "127.0.0.1") else str(name).lower()
    assert read_hello(data) == Hello(said, protocols)
    assert not any(is_whole(data[:end]) for end in range(len(data)))


@given(st.binary(max_size=300), st.integers(0, 2**16 - 1))
def test_any_bytes_are_read_as_a_hello_that_offers_what_it_can(body: bytes, length: int) -> None:
    hello = read_hello(b"\x16\x03\x01" + length.to_bytes(2) + body)
    assert all(isinstance(text, str) for text in (hello.server_name, *hello.protocols))


@given(st.data())
def test_a_damaged_hello_of_a_real_client_is_read_without_an_error(data: st.DataObject) -> None:
    whole = bytearray(hello_of("localhost", ("http/1.1",)))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(5, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read_hello(bytes(whole))


def test_a_plain_request_begins_with_a_letter() -> None:
    assert is_http(b"GET / HTTP/1.1")
    assert not is_http(b"\0\0")
    assert not is_tls(b"GET /")
