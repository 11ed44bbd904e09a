"""What `cluster open` and `cluster show` tell people: lines to type, what joining means, and never a token."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.grammar.cluster.joining_lines import facts_of, joining, trust
from bacalhau_jupyter.grammar.cluster.opening import shown
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.cluster import (
    CLOSED,
    OPENING,
    ClusterState,
    JoinedCluster,
    LinkStatus,
)

OPEN = ClusterState(
    is_open=True,
    address="nats://192.0.2.7:4222",
    is_public=True,
    is_encrypted=True,
    needs_token=True,
    token_file="/home/ada/.bacalhau/cluster.token",
    ca_file="/home/ada/.bacalhau/tls/ca.pem",
    api_address="http://192.0.2.7:1234",
)
LOCAL = ClusterState(is_open=True, address="nats://127.0.0.1:4222")


@pytest.mark.parametrize(
    ("state", "words", "absent"),
    [
        (ClusterState(link=LinkStatus(reason=OPENING)), "Open = opening", "cluster open"),
        (ClusterState(link=LinkStatus(reason=CLOSED)), "Open it = cluster open", "Why"),
        (ClusterState(link=LinkStatus(reason="port 1 is in use")), "Why     = port 1 is in use", "opening"),
        (replace(LOCAL, link=LinkStatus(reason=OPENING)), "= opening", "down"),
        (replace(LOCAL, link=LinkStatus(reason="port 1 is in use")), "= down: port 1 is in use", "opening"),
    ],
)
def test_a_cluster_that_opens_is_told_apart_from_a_closed_one(
    state: ClusterState, words: str, absent: str
) -> None:
    text = shown(state).text()
    assert words in text
    assert absent not in text


def test_the_lines_name_the_address_the_token_file_and_the_authority_for_both_kinds_of_nodes() -> None:
    lines = joining(OPEN).splitlines()
    assert lines[0].startswith(
        "Copy /home/ada/.bacalhau/cluster.token and /home/ada/.bacalhau/tls/ca.pem there"
    )
    assert (
        "  bacalhau-jupyter cluster join nats://192.0.2.7:4222 --token-file cluster.token --ca-file ca.pem"
        in lines
    )
    assert (
        '  BACALHAU_COMPUTE_AUTH_TOKEN="$(cat cluster.token)" bacalhau serve --compute '
        "-c Compute.Orchestrators=nats://192.0.2.7:4222 -c Compute.TLS.CACert=ca.pem" in lines
    )


def test_a_cluster_of_one_machine_needs_no_files_and_says_that_others_do_not_reach_it() -> None:
    text = joining(LOCAL)
    assert "Copy" not in text
    assert "--token-file" not in text
    assert "BACALHAU_COMPUTE_AUTH_TOKEN" not in text
    assert "Only nodes of this machine reach this address" in text


def test_the_line_of_a_cluster_of_one_machine_starts_a_second_node_as_none_joins_its_own_cluster() -> None:
    assert (
        "  bacalhau-jupyter --data-dir DIR cluster join nats://127.0.0.1:4222" in joining(LOCAL).splitlines()
    )
    assert "--data-dir" not in joining(OPEN)


def test_the_lines_of_a_cluster_of_one_machine_name_the_files_where_they_are() -> None:
    state = ClusterState(
        is_open=True,
        address="nats://127.0.0.1:4222",
        needs_token=True,
        token_file="/home/ada lovelace/cluster.token",
        ca_file="/home/ada lovelace/tls/ca.pem",
    )
    text = joining(state)
    assert "Copy" not in text
    assert " there" not in text
    assert "--token-file '/home/ada lovelace/cluster.token' --ca-file '/home/ada lovelace/tls/ca.pem'" in text
    assert "$(cat '/home/ada lovelace/cluster.token')" in text


def test_a_token_of_the_configuration_is_named_by_its_key() -> None:
    state = ClusterState(is_open=True, address="nats://192.0.2.7:4222", is_public=True, needs_token=True)
    assert "Write the token of Orchestrator.Auth.Token into a file cluster.token there." in joining(state)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (OPEN, "each of them can speak for all other official nodes"),
        (LOCAL, "No token is set: any program of this machine can join"),
        (
            ClusterState(is_open=True, is_public=True, needs_token=True),
            "is not encrypted, the token included",
        ),
        (
            ClusterState(is_open=True, is_public=True, needs_token=True),
            "Set API.Host and API.AdvertisedAddress",
        ),
    ],
)
def test_people_read_what_joining_means(state: ClusterState, words: str) -> None:
    assert words in trust(state)


def test_a_cluster_whose_link_is_away_is_not_called_up_though_the_machine_has_joined_it() -> None:
    reason = "nothing listens at nats://192.0.2.7:4222"
    away = LinkStatus(is_up=False, reason=reason, since="2026-11-29T22:26:57Z")
    joined = JoinedCluster(url="nats://192.0.2.7:4222", node_id="n-guest", is_joined=True, link=away)
    assert facts_of(joined)["Link"] == f"down since 2026-11-29T22:26:57Z: {reason}"


def test_an_encrypted_cluster_whose_api_is_reached_needs_no_warning() -> None:
    assert "encrypted" not in trust(OPEN)
    assert "API.Host" not in trust(OPEN)
