"""The signed texts between a NATS server and our door."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.transport.server.door.claims import Question, Signer, public_key, read_question
from bacalhau_jupyter.transport.server.door.doorkeeper import Caller
from bacalhau_jupyter.transport.server.door.permissions import of_own_node

QUESTION = Question(Caller("192.0.2.1", "n-1", "n-1", "secret", "token"), "UCONNECTION", "NSERVER")


def text_of(content: Any) -> bytes:
    return b"e30." + base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=") + b".c2ln"


def part(text: str | bytes, index: int) -> Any:
    raw = (text.encode() if isinstance(text, str) else text).split(b".")[index]
    return json.loads(base64.urlsafe_b64decode(raw + b"=="))


def test_a_public_key_is_spelled_as_nats_does() -> None:
    """An account's key that the tools of NATS made, and its bytes."""
    spelled = "ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA"
    raw = base64.b32decode(spelled)[1:33]
    assert public_key(raw) == spelled


def test_an_answer_is_signed_by_the_issuer_that_it_names() -> None:
    signer = Signer("NODES")
    answer = signer.admission(QUESTION, of_own_node("n-1"), 1_000)
    signed, _, signature = answer.rpartition(b".")
    raw = base64.b32decode(signer.issuer)[1:33]
    key = Ed25519PublicKey.from_public_bytes(raw)
    key.verify(base64.urlsafe_b64decode(signature + b"=="), signed)
    assert part(answer, 1) | {"nats": None, "jti": None} == {
        "iss": signer.issuer,
        "sub": "UCONNECTION",
        "aud": "NSERVER",
        "iat": 1_000,
        "nats": None,
        "jti": None,
    }


def test_an_admission_names_exactly_the_permissions() -> None:
    answer = Signer("NODES").admission(QUESTION, of_own_node("n-1"), 1_000)
    user = part(part(answer, 1)["nats"]["jwt"], 1)
    assert (user["sub"], user["aud"]) == ("UCONNECTION", "NODES")
    assert user["nats"]["pub"] == {"allow": list(of_own_node("n-1").publish)}
    assert user["nats"]["sub"] == {"allow": list(of_own_node("n-1").subscribe)}
    assert user["nats"]["resp"]["max"] == 1


def test_no_answer_holds_what_the_connection_brought() -> None:
    answer = Signer("NODES").admission(QUESTION, of_own_node("n-1"), 1_000)
    whole = json.dumps([part(answer, 1), part(part(answer, 1)["nats"]["jwt"], 1)])
    assert "secret" not in whole
    assert "token" not in whole


def test_two_servers_sign_with_different_keys() -> None:
    assert Signer("NODES").issuer != Signer("NODES").issuer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["nats", "connect_opts", "client_info", "server_id", "user", "id", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=200) | JSON.map(text_of))
def test_a_question_that_is_garbage_is_refused_in_one_sentence(text: bytes) -> None:
    try:
        question = read_question(text)
    except BadRequest as error:
        assert error.message == "The NATS server's question about a connection can't be read."
    else:
        assert isinstance(question.caller.node_id, str)


def test_a_question_has_what_the_connection_said() -> None:
    content = {
        "nats": {
            "server_id": {"id": "NSERVER"},
            "user_nkey": "UCONNECTION",
            "client_info": {"host": "192.0.2.1", "name": "n-1"},
            "connect_opts": {"name": "n-1", "user": "n-1", "pass": "secret", "auth_token": "token"},
        }
    }
    assert read_question(text_of(content)) == QUESTION


@pytest.mark.parametrize("name", ["user", "pass", "auth_token", "name"])
def test_what_is_no_text_counts_as_not_sent(name: str) -> None:
    content: dict[str, Any] = {
        "nats": {"server_id": {}, "client_info": {}, "connect_opts": {"name": "n-1"} | {name: 5}}
    }
    caller = read_question(text_of(content)).caller
    assert "5" not in (caller.user, caller.password, caller.token, caller.name)
