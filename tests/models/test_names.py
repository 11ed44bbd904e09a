"""One form on the wire for every file name, and back."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.names import from_wire, is_text, shown, to_wire

ODD = st.lists(
    st.sampled_from(
        [b"\xe9", b"\xc3", b"\xa9", b"%", b"25", b"E9", b"A9", b"%E9", b"%25", b"a", b"\n", "é".encode()]
    )
).map(b"".join)


@given(ODD | st.binary(max_size=20))
def test_every_name_comes_back_from_its_form(raw: bytes) -> None:
    name = os.fsdecode(raw)
    form = to_wire(name)
    assert is_text(form)
    assert from_wire(form) == name


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_text_that_looks_like_no_escaped_name_stays_as_it_is(name: str) -> None:
    form = to_wire(name)
    assert form == name or from_wire(name) != name


@pytest.mark.parametrize(
    "name", ["100%.txt", "a%20b", "caf%C3%A9.txt", "50%25", "café", "a\nb", "%e9", "%zz", "日本%", ""]
)
def test_ordinary_names_are_their_own_form(name: str) -> None:
    assert to_wire(name) == name


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (b"caf\xe9.txt", "caf%E9.txt"),
        (b"caf%E9.txt", "caf%25E9.txt"),
        (b"caf%25E9.txt", "caf%2525E9.txt"),
        (b"100% \xe9", "100% %E9"),
        (b"%C3%A9 \xff", "%25C3%25A9 %FF"),
        ("é\xff".encode() + b"\xff", "éÿ%FF"),
    ],
)
def test_bytes_that_are_not_utf_8_are_escaped_unambiguously(raw: bytes, form: str) -> None:
    assert to_wire(os.fsdecode(raw)) == form
    assert os.fsencode(from_wire(form)) == raw


def test_names_are_shown_on_one_line_and_in_one_direction() -> None:
    assert shown(os.fsdecode(b"caf\xe9")) == r"caf\xe9"
    assert shown("a\nb\x1b[31m\u202egpj.exe") == r"a\nb\x1b[31m\u202egpj.exe"
    assert shown("naïve 日本.txt") == "naïve 日本.txt"


def test_bytes_that_are_not_utf_8_never_break_an_answer() -> None:
    assert decode(encode({"a": ["caf\udce9", {"\udcff": 1}]}), dict) == {"a": ["caf%E9", {"%FF": 1}]}
