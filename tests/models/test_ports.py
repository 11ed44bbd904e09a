"""Ports in words and as links."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.ports import port_text, port_url
from bacalhau_jupyter.models.jobs.spec import Port


@pytest.mark.parametrize(
    ("port", "text"),
    [
        (Port(name="web", static=8080), "web *:8080"),
        (Port(name="web", static=8080, target=8080), "web *:8080"),
        (Port(name="web", static=8080, target=80, host_network="127.0.0.1"), "web 127.0.0.1:8080 → 80"),
        (Port(name="web", static=8080, host_network="::1"), "web [::1]:8080"),
    ],
)
def test_a_port_is_shown_with_its_address(port: Port, text: str) -> None:
    assert port_text(port) == text


@pytest.mark.parametrize(
    ("address", "url"),
    [("", "http://node.org:8080/"), ("127.0.0.1", ""), ("::1", ""), ("10.1.2.3", "http://10.1.2.3:8080/")],
)
def test_the_ports_of_another_machine_are_reached_there_or_not_at_all(address: str, url: str) -> None:
    assert port_url(Port(name="web", static=8080, host_network=address), "node.org") == url


@pytest.mark.parametrize(
    ("port", "url"),
    [
        (Port(name="http", static=8080), "http://127.0.0.1:8080/"),
        (Port(name="my_web", static=8080, host_network="0.0.0.0"), "http://127.0.0.1:8080/"),
        (Port(name="HTTPS", static=8443, host_network="10.1.2.3"), "https://10.1.2.3:8443/"),
        (Port(name="http", static=8080, host_network="::1"), "http://[::1]:8080/"),
        (Port(name="http", static=8080, host_network="evil.com/@x"), ""),
        (Port(name="http", static=8080, host_network="fe80::1%x]@evil.com"), ""),
        (Port(name="http", static=8080, host_network="fe80::1"), "http://[fe80::1]:8080/"),
        (Port(name="postgres", static=5432), ""),
        (Port(name="http"), ""),
    ],
)
def test_only_what_speaks_http_by_its_name_becomes_a_link(port: Port, url: str) -> None:
    assert port_url(port) == url
