"""Heads of requests and answers: what is sent on, and what is refused because it could be read in two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.engines.network.heads import (
    UNTIL_THE_END,
    Answer,
    BadRequest,
    Request,
    chunk_size,
    parse_request,
    rewrite_response,
)


def parse(*lines: str) -> Request:
    return parse_request("\r\n".join([*lines, "", ""]).encode("latin-1"), "j-1")


def test_a_request_is_sent_on_for_its_url_whatever_its_host_header_says() -> None:
    request = parse(
        "GET http://Good.example:8080/a?b HTTP/1.1",
        "Host: other.example",
        "host: third.example",
        "Accept: */*",
        "Proxy-Authorization: secret",
        "X-Bacalhau-Job-ID: forged",
        "Upgrade: websocket",
        "Connection: keep-alive, X-Mine",
        "X-Mine: 1",
    )
    assert (request.host, request.port, request.length) == ("Good.example", 8080, 0)
    assert request.head.decode().split("\r\n") == [
        "GET /a?b HTTP/1.1",
        "Host: Good.example:8080",
        "Accept: */*",
        "X-Bacalhau-Job-ID: j-1",
        "Connection: close",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("target", "path"),
    [("http://a.b", "/"), ("http://a.b?x", "/?x"), ("HTTP://a.b/c//d", "/c//d"), ("http://[::1]/", "/")],
)
def test_a_path_is_kept_as_it_is(target: str, path: str) -> None:
    assert parse(f"GET {target} HTTP/1.0").head.decode().startswith(f"GET {path} HTTP/1.1\r\n")


def test_a_tunnel_names_host_and_port() -> None:
    assert parse("CONNECT a.b:443 HTTP/1.1") == Request(tunnel=True, host="a.b", port=443)
    assert parse("CONNECT [2001:db8::1]:443 HTTP/1.1", "Host: x").host == "2001:db8::1"


@pytest.mark.parametrize(
    "lines",
    [
        ["GET / HTTP/1.1", "Host: a.b"],
        ["GET https://a.b/ HTTP/1.1"],
        ["GET file:///etc/passwd HTTP/1.1"],
        ["GET http://a.b/ HTTP/2.0"],
        ["GET http://a.b/"],
        ["GET  http://a.b/ HTTP/1.1"],
        ["GET http://a.b/ x HTTP/1.1"],
        ["GET http://user@a.b/ HTTP/1.1"],
        ["GET http://a.b\\@evil/ HTTP/1.1"],
        ["GET http://a.b#@evil/ HTTP/1.1"],
        ["GET http://a.b:0/ HTTP/1.1"],
        ["GET http://a.b:99999/ HTTP/1.1"],
        ["GET http://a.b:80:80/ HTTP/1.1"],
        ["GET http:///x HTTP/1.1"],
        ["GET http://ä.b/ HTTP/1.1"],
        ["CONNECT a.b HTTP/1.1"],
        ["CONNECT http://a.b:443/ HTTP/1.1"],
        ["CONNECT a.b:443/ HTTP/1.1"],
        ["CONNECT ::1:443 HTTP/1.1"],
        ["POST http://a.b/ HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"],
        ["POST http://a.b/ HTTP/1.1", "Content-Length: 1", "Content-Length: 2"],
        ["POST http://a.b/ HTTP/1.1", "Content-Length: +1"],
        ["POST http://a.b/ HTTP/1.1", "Content-Length: 1, 1"],
        ["POST http://a.b/ HTTP/1.1", "Transfer-Encoding: chunked, identity"],
        ["POST http://a.b/ HTTP/1.1", "Transfer-Encoding: xchunked"],
        ["POST http://a.b/ HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["GET http://a.b/ HTTP/1.1", "Host : x"],
        ["GET http://a.b/ HTTP/1.1", "A: 1", " folded"],
        ["GET http://a.b/ HTTP/1.1", "A: 1\nHost: x"],
        ["GET http://a.b/ HTTP/1.1", "A: 1\rHost: x"],
        ["GET http://a.b/ HTTP/1.1", "A: 1\0"],
        ["GET http://a.b/ HTTP/1.1", "no header"],
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(lines: list[str]) -> None:
    with pytest.raises(BadRequest):
        parse(*lines)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(noise: bytes) -> None:
    for head in (noise + b"\r\n\r\n", b"GET http://a.b/ HTTP/1.1\r\n" + noise + b"\r\n\r\n"):
        try:
            request = parse_request(head, "j-1")
        except BadRequest:
            continue
        assert request.head.lower().count(b"\r\nhost:") == (0 if request.tunnel else 1)
        assert request.head.count(b"\r\n\r\n") == (0 if request.tunnel else 1)


def test_an_answer_ends_its_connection_and_cannot_switch_protocols() -> None:
    plain = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nContent-Length: 2\r\n\r\n"
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    assert rewrite_response(plain) == Answer(closing, 200, 2)
    assert rewrite_response(plain, bodiless=True) == Answer(closing, 200, 0)
    more = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert rewrite_response(more) == Answer(more, 100, 0)
    assert rewrite_response(b"HTTP/1.0 200 OK\r\n\r\n").length == UNTIL_THE_END
    assert rewrite_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").length is None
    with pytest.raises(BadRequest):
        rewrite_response(b"SSH-2.0-x\r\n\r\n")


@pytest.mark.parametrize("line", [b"\r\n", b"-1\r\n", b"0x1\r\n", b" 1\r\n", b"1", b"1\n", b"g\r\n"])
def test_a_chunk_without_a_size_is_refused(line: bytes) -> None:
    with pytest.raises(BadRequest):
        chunk_size(line)


def test_the_size_of_a_chunk_may_carry_an_extension() -> None:
    assert chunk_size(b"1F;x=y\r\n") == 31
