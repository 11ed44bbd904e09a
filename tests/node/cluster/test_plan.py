"""How the link is to be: which settings open it, which contradict each other, and what `cluster open` may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.records.cluster import OpenCluster
from bacalhau_jupyter.node.cluster.plan import check, opening_reason, plan_of, split_host

HYBRID = {"Orchestrator.Enabled": True, "Compute.Enabled": True}
PLACING = {"Orchestrator.Enabled": True}


def config(**values: Any) -> Config:
    return Config(HYBRID | {name.replace("__", "."): value for name, value in values.items()})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (HYBRID, ""),
        (PLACING, "this node runs no jobs itself"),
        ({"Compute.Enabled": True}, ""),
        (HYBRID | {"Orchestrator.Link": "on"}, "Orchestrator.Link=on (argument)"),
        (PLACING | {"Orchestrator.Link": "off"}, ""),
        (HYBRID | {"Orchestrator.Host": "127.0.0.2"}, "Orchestrator.Host (argument)"),
        (HYBRID | {"Orchestrator.Port": 0}, "Orchestrator.Port (argument)"),
        (HYBRID | {"Orchestrator.Advertise": "box"}, "Orchestrator.Advertise (argument)"),
        (HYBRID | {"Orchestrator.Advertise": ""}, ""),
        (HYBRID | {"Orchestrator.Auth.Token": "t"}, "Orchestrator.Auth.Token (argument)"),
        (HYBRID | {"Orchestrator.TLS.ServerCert": "/c"}, "Orchestrator.TLS.ServerCert (argument)"),
        (HYBRID | {"Orchestrator.SupportReverseProxy": True}, "Orchestrator.SupportReverseProxy (argument)"),
        (HYBRID | {"Orchestrator.NATSServer": "nats://b:4222"}, "Orchestrator.NATSServer (argument)"),
        (HYBRID | {"Orchestrator.MaxPayload": "2Mi"}, ""),
    ],
)
def test_the_link_opens_by_itself_where_the_configuration_asks_for_it(
    values: dict[str, Any], reason: str
) -> None:
    assert opening_reason(Config(values)) == reason


def test_a_link_takes_over_what_is_configured() -> None:
    plan = plan_of(
        config(
            Orchestrator__Host="0.0.0.0",
            Orchestrator__Port=4333,
            Orchestrator__Advertise="box.example",
            Orchestrator__Auth__Token="secret-word",
            Orchestrator__MaxPayload="2Mi",
            Orchestrator__TLS__ServerCert="/etc/c.pem",
            Orchestrator__TLS__ServerKey="/etc/k.pem",
            Orchestrator__TLS__ServerTimeout=3,
            Orchestrator__TLS__CACert="/etc/ca.pem",
        ),
        None,
        "",
        embedded=False,
    )
    assert (plan.host, plan.port, plan.token, plan.max_payload) == ("0.0.0.0", 4333, "secret-word", 2 << 20)
    assert (plan.certificate, plan.key, plan.authority) == (
        Path("/etc/c.pem"),
        Path("/etc/k.pem"),
        Path("/etc/ca.pem"),
    )
    assert (plan.handshake_s, plan.is_public, plan.is_encrypted) == (3, True, True)
    assert plan.address(4333, "192.0.2.7") == "nats://box.example:4333"
    assert "secret-word" not in repr(plan)


@pytest.mark.parametrize(
    ("host", "advertise", "address"),
    [
        ("127.0.0.1", "", "nats://127.0.0.1:9"),
        ("0.0.0.0", "", "nats://192.0.2.7:9"),
        ("::", "", "nats://192.0.2.7:9"),
        ("::1", "", "nats://[::1]:9"),
        ("0.0.0.0", "box", "nats://box:9"),
        ("0.0.0.0", "box:5", "nats://box:5"),
        ("0.0.0.0", "[2001:db8::1]:5", "nats://[2001:db8::1]:5"),
        ("0.0.0.0", "2001:db8::1", "nats://[2001:db8::1]:9"),
    ],
)
def test_nodes_dial_the_advertised_address_or_one_that_others_see(
    host: str, advertise: str, address: str
) -> None:
    plan = plan_of(config(), OpenCluster(host=host, advertise=advertise), "t", embedded=True)
    assert plan.address(9, "192.0.2.7") == address


def test_other_machines_need_a_token_and_this_one_does_not() -> None:
    with pytest.raises(
        ConfigurationError, match=r"needs a token: Orchestrator\.Host is 0\.0\.0\.0"
    ) as caught:
        plan_of(config(Orchestrator__Host="0.0.0.0"), None, "", embedded=False)
    assert "cluster open --host 0.0.0.0" in caught.value.hint
    assert not plan_of(config(), None, "", embedded=False).token
    assert plan_of(config(Orchestrator__Host="0.0.0.0"), None, "kept", embedded=False).token == "kept"


@pytest.mark.parametrize(
    ("embedded", "order", "values", "may_move"),
    [
        (False, None, {}, False),
        (True, None, {}, True),
        (True, None, {"Orchestrator.Port": 4222}, False),
        (False, OpenCluster(), {}, True),
        (False, OpenCluster(port=5), {}, False),
        (False, OpenCluster(), {"Orchestrator.Port": 4222}, False),
    ],
)
def test_a_port_that_somebody_chose_is_not_exchanged_for_another(
    embedded: bool, order: OpenCluster | None, values: dict[str, Any], may_move: bool
) -> None:
    assert plan_of(Config(HYBRID | values), order, "t", embedded=embedded).may_move is may_move


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Orchestrator.TLS.ServerCert": "/c"}, "ServerCert is set without Orchestrator.TLS.ServerKey"),
        ({"Orchestrator.TLS.ServerKey": "/k"}, "ServerKey is set without Orchestrator.TLS.ServerCert"),
        ({"Orchestrator.TLS.ServerTimeout": -1}, "must be 0 or more seconds"),
        ({"Orchestrator.MaxPayload": "10kb"}, "must be between 1048576 and 67108864 bytes"),
        ({"Orchestrator.MaxPayload": "1Gi"}, "must be between 1048576 and 67108864 bytes"),
        ({"Orchestrator.Host": "a b"}, "Orchestrator.Host is not a host name or an IP address: 'a b'"),
        ({"Orchestrator.Advertise": "nats://box"}, "Orchestrator.Advertise is not HOST or HOST:PORT"),
        ({"Orchestrator.Advertise": "box:0"}, "is not HOST or HOST:PORT"),
        ({"Orchestrator.Advertise": "box:99999"}, "is not HOST or HOST:PORT"),
        ({"Orchestrator.NATSServer": "box:4222"}, "is not the URL of a NATS server"),
        ({"Orchestrator.NATSServer": "nats://box:x"}, "is not the URL of a NATS server"),
        ({"Orchestrator.NATSServer": "nats://tok@box"}, "holds a credential"),
        (
            {
                "Orchestrator.NATSServer": "nats://b",
                "Orchestrator.TLS.ServerCert": "/c",
                "Orchestrator.TLS.ServerKey": "/k",
            },
            "Orchestrator.TLS.ServerCert has no effect on the NATS server",
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words.replace(".", r"\.")) as caught:
        check(Config(HYBRID | values))
    assert "tok" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("order", "values", "words"),
    [
        (
            OpenCluster(host="0.0.0.0"),
            {"Orchestrator.Host": "127.0.0.1"},
            "Orchestrator.Host is 127.0.0.1 by",
        ),
        (OpenCluster(port=5), {"Orchestrator.Port": 6}, "Orchestrator.Port is 6 by"),
        (OpenCluster(port=-5), {}, "-5 is no port"),
        (OpenCluster(port=65536), {}, "65536 is no port"),
        (OpenCluster(host="a;b"), {}, "the address to listen on is not a host name"),
        (OpenCluster(advertise="a;b"), {}, "the advertised address is not HOST or HOST:PORT"),
        (OpenCluster(port=5), {"Orchestrator.NATSServer": "nats://b"}, "which this node does not run"),
    ],
)
def test_an_order_that_can_not_be_carried_out_is_refused(
    order: OpenCluster, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        plan_of(Config(HYBRID | values), order, "t", embedded=True)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("box", ("box", "", "")),
        ("box:5", ("box", ":", "5")),
        ("[::1]", ("[::1]", "", "")),
        ("[::1]:5", ("[::1]", ":", "5")),
        ("::1", ("[::1]", "", "")),
        ("", ("", "", "")),
    ],
)
def test_an_address_is_taken_apart(address: str, parts: tuple[str, str, str]) -> None:
    assert split_host(address) == parts
