"""The rules of the door, for any connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.transport.nats import subjects
from bacalhau_jupyter.transport.server.door.doorkeeper import (
    SHORTEST_SECRET,
    Admission,
    Caller,
    Doorkeeper,
    Refusal,
    secret_hash,
)
from bacalhau_jupyter.transport.server.door.permissions import Permissions, of_official_node, of_own_node

TOKEN = "the token of this cluster"
SECRET = "5ec2e7" * 10
NODE_IDS = st.text(st.characters(categories=("L", "N"), include_characters="-_=:"), min_size=1, max_size=50)
TEXTS = st.text(max_size=300)


def refusal(verdict: Admission | Refusal) -> str:
    assert isinstance(verdict, Refusal)
    return verdict.reason


def admission(verdict: Admission | Refusal) -> Admission:
    assert isinstance(verdict, Admission)
    return verdict


def official(node_id: str, token: str = TOKEN) -> Caller:
    return Caller("192.0.2.1", node_id, token=token)


def own(node_id: str, secret: str = SECRET, token: str = TOKEN) -> Caller:
    return Caller("192.0.2.1", "any name", user=node_id, password=secret, token=token)


@given(NODE_IDS)
def test_an_official_node_with_the_token_gets_the_subjects_of_its_name(node_id: str) -> None:
    assert Doorkeeper(TOKEN).decide(official(node_id), None) == Admission(of_official_node(node_id))


@given(NODE_IDS)
def test_a_node_of_ours_enrols_once_and_is_known_from_then_on(node_id: str) -> None:
    door = Doorkeeper(TOKEN)
    first = admission(door.decide(own(node_id), None))
    assert first == Admission(of_own_node(node_id), secret_hash(node_id, SECRET))
    assert admission(door.decide(own(node_id), first.enrolled)) == Admission(of_own_node(node_id))


@given(caller=st.builds(Caller, st.just("192.0.2.1"), TEXTS, TEXTS, TEXTS, TEXTS), kept=st.none() | TEXTS)
def test_nothing_that_a_stranger_sends_is_let_in_or_breaks_the_door(caller: Caller, kept: str | None) -> None:
    reason = refusal(Doorkeeper(TOKEN).decide(caller, kept))
    assert reason.endswith(".")
    assert reason.count("\n") == 0


@given(NODE_IDS, TEXTS.filter(lambda text: text != TOKEN))
def test_without_the_token_nobody_comes_in(node_id: str, token: str) -> None:
    door = Doorkeeper(TOKEN)
    kept = secret_hash(node_id, SECRET)
    for caller in (official(node_id, token), own(node_id, token=token)):
        for hash_ in (None, kept):
            reason = refusal(door.decide(caller, hash_))
            assert "its token is wrong" in reason if token else "it brings no token" in reason


@given(NODE_IDS, st.text(min_size=SHORTEST_SECRET, max_size=100).filter(lambda text: text != SECRET))
def test_an_enrolled_id_takes_its_own_secret_only(node_id: str, secret: str) -> None:
    door = Doorkeeper(TOKEN)
    kept = secret_hash(node_id, SECRET)
    assert "its secret is not the one" in refusal(door.decide(own(node_id, secret), kept))
    assert "belongs to a node with a secret of its own" in refusal(door.decide(official(node_id), kept))


@given(st.text(max_size=SHORTEST_SECRET - 1))
def test_a_short_secret_enrols_nobody(secret: str) -> None:
    assert "fewer than 32 characters" in refusal(Doorkeeper(TOKEN).decide(own("n-1", secret), None))


def test_a_secret_is_kept_for_one_id_only() -> None:
    assert secret_hash("n-1", SECRET) != secret_hash("n-2", SECRET)


@pytest.mark.parametrize("caller", [official("n-near"), own("n-near")], ids=["official", "ours"])
def test_the_ids_of_the_own_machine_are_taken(caller: Caller) -> None:
    door = Doorkeeper(TOKEN, {"n-near"}.__contains__)
    assert "belongs to the orchestrator's own machine" in refusal(door.decide(caller, None))


@pytest.mark.parametrize(
    "node_id", ["", "*", ">", "n.1", "n 1", "n\t1", "n\x00", "a" * 300, "n-1.>", "n-\ud800"]
)
def test_what_is_no_node_id_comes_nowhere(node_id: str) -> None:
    """A wildcard as a name would be a wildcard in the permissions."""
    assert "is no node ID" in refusal(Doorkeeper("").decide(official(node_id), None))


def test_without_a_token_nodes_need_none_and_an_enrolled_id_is_kept_all_the_same() -> None:
    door = Doorkeeper("")
    assert isinstance(door.decide(official("n-1", ""), None), Admission)
    kept = admission(door.decide(own("n-1", token=""), None)).enrolled
    assert isinstance(door.decide(official("n-1", ""), kept), Refusal)
    assert isinstance(door.decide(own("n-1", "another secret " * 9, ""), kept), Refusal)


def test_no_reason_and_no_repr_holds_a_secret() -> None:
    door = Doorkeeper(TOKEN)
    callers = [
        own("n-1", token="a wrong token"),
        own("n-1", "short pw"),
        own("n-1", "w" * 40),
        official("n-1", "x y z"),
    ]
    for caller in callers:
        text = refusal(door.decide(caller, secret_hash("n-1", SECRET))) + repr(caller)
        assert not [secret for secret in (caller.password, caller.token, TOKEN) if secret and secret in text]


def matches(pattern: str, subject: str) -> bool:
    """Whether NATS would take a subject for a pattern."""
    words, parts = subject.split("."), pattern.split(".")
    for index, part in enumerate(parts):
        if part == ">":
            return len(words) > index
        if index >= len(words) or part not in {"*", words[index]}:
            return False
    return len(words) == len(parts)


@given(NODE_IDS, NODE_IDS)
def test_two_nodes_share_no_subject_but_the_inbox_of_official_ones(mine: str, theirs: str) -> None:
    if mine == theirs:
        return
    other = [
        subjects.control(theirs),
        subjects.reports(theirs),
        subjects.requests(theirs),
        subjects.stream_inbox(theirs) + "token",
        subjects.stream_heartbeat(theirs),
        f"node.management.{theirs}.RegisterNode/v1",
    ]
    read_by_other = [subjects.orders(theirs), subjects.logs(theirs), f"{subjects.node_inbox(theirs)}.x.y"]
    for allowed in (of_own_node(mine), of_official_node(mine)):
        assert not reachable(allowed.publish, other)
        assert not reachable(
            allowed.subscribe, [*read_by_other, "_INBOX_ORCHESTRATOR.x.y", "$SYS.REQ.USER.AUTH"]
        )


def reachable(patterns: tuple[str, ...], names: list[str]) -> list[str]:
    return [name for name in names if any(matches(pattern, name) for pattern in patterns)]


@given(NODE_IDS)
def test_a_node_gets_what_the_protocol_needs(node_id: str) -> None:
    kinds: tuple[Permissions, ...] = (of_own_node(node_id), of_official_node(node_id))
    for allowed in kinds:
        said = [subjects.control(node_id), subjects.reports(node_id), subjects.requests(node_id)]
        said += [subjects.stream_inbox(node_id) + "a1b2c3d4", subjects.stream_heartbeat(node_id)]
        assert reachable(allowed.publish, said) == said
        read = [subjects.orders(node_id), subjects.logs(node_id)]
        assert reachable(allowed.subscribe, read) == read
