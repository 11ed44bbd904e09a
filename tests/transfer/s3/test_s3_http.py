"""Answers of HTTP servers, as they may come."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from bacalhau_jupyter.transfer.s3.requests.http import Answer, ask


def answer_to(data: bytes) -> tuple[Answer, bytes, bytes]:
    """Send a GET to a peer that says this; return the answer, its body, and what the peer got."""
    near, far = socket.socketpair()
    got: list[bytes] = []

    def talk() -> None:
        got.append(far.recv(1 << 16))
        far.sendall(data)
        far.close()

    peer = threading.Thread(target=talk)
    peer.start()
    connection = http.client.HTTPConnection("host")
    connection.sock = near
    try:
        answer = ask(connection, "/k", {"host": "h", "x": "é"})
        body = answer.read()
        answer.close()
    finally:
        peer.join(30)
        connection.close()
    return answer, body, got[0]


@pytest.mark.parametrize(
    ("data", "status", "body", "closes"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: "x"\r\n\r\nabcd', 200, b"abc", False),
        (b"HTTP/1.1 200\r\ncontent-length:3\r\nConnection: close\r\n\r\nabc", 200, b"abc", True),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", 200, b"abc", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            200,
            b"abc",
            False,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 P\r\nContent-Length: 1\r\n\r\na", 206, b"a", False),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, b"", False),
    ],
)
def test_a_body_ends_where_its_head_says(data: bytes, status: int, body: bytes, closes: bool) -> None:
    answer, content, sent = answer_to(data)
    assert (answer.status, content, bool(answer.will_close)) == (status, body, closes)
    assert sent == "GET /k HTTP/1.1\r\nhost: h\r\nx: é\r\n\r\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    ],
)
def test_an_invalid_answer_is_an_http_error(data: bytes) -> None:
    with pytest.raises((http.client.HTTPException, OSError)):
        answer_to(data)


def test_a_line_break_in_a_header_is_never_sent() -> None:
    connection = http.client.HTTPConnection("host")
    with pytest.raises(http.client.HTTPException, match="line break"):
        ask(connection, "/k", {"If-Match": '"x"\r\nHost: evil'})
