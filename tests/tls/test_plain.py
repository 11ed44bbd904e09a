from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.tls.plain import plain_answer

BROWSER = "Accept: text/html,application/xhtml+xml"


def asked(method: str, target: str, *fields: str) -> tuple[int, str]:
    """Return status and location of the answer to a plain request."""
    head = "\r\n".join((f"{method} {target} HTTP/1.1", *fields, "", "")).encode("latin-1")
    lines = plain_answer(head).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    location = next((line.partition(": ")[2] for line in lines if line.startswith("Location: ")), "")
    return int(lines[0].split()[1]), location


@pytest.mark.parametrize("host", ["node:1234", "127.0.0.1:1234", "[::1]:1234", "node.example.org"])
def test_a_browser_that_opens_a_page_is_sent_to_the_same_page(host: str) -> None:
    assert asked("GET", "/a?b=c", f"Host: {host}", BROWSER) == (308, f"https://{host}/a?b=c")


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        ("POST", "/login", ("Host: node", BROWSER)),
        ("GET", "/api/v1/agent/alive", ("Host: node", BROWSER)),
        ("GET", "/", ("Host: node", "Accept: */*")),
        ("GET", "/", ("Host: node", BROWSER, "Authorization: Bearer k")),
        ("GET", "//evil.example/", ("Host: node", BROWSER)),
        ("GET", "http://evil.example/", ("Host: node", BROWSER)),
        ("GET", "/", ("Host: evil.example/@node", BROWSER)),
        ("GET", "/", ("Host: node\x0bX", BROWSER)),
        ("GET", "/", (BROWSER,)),
    ],
)
def test_nothing_else_is_redirected(method: str, target: str, fields: tuple[str, ...]) -> None:
    assert asked(method, target, *fields) == (400, "")


def test_the_answer_is_the_envelope_of_the_api_with_a_hint() -> None:
    answer = plain_answer(b"GET /api/v1/agent/alive HTTP/1.1\r\nHost: node\r\n\r\n")
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (body["Status"], body["Code"]) == (400, "BadRequest")
    assert body["Message"] == "this address speaks HTTPS, not HTTP"
    assert "API.TLS.UseTLS" in body["Hint"]
    assert plain_answer(b"HEAD / HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")


@given(st.binary(max_size=200))
def test_any_head_gets_one_of_the_two_answers(head: bytes) -> None:
    answer = plain_answer(head)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 308 "))
    # Nothing that was sent becomes a further line.
    assert len(answer.partition(b"\r\n\r\n")[0].split(b"\n")) == 6
