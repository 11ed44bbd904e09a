"""Which names of `API.TLS.AutoCert` are accepted."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.acme.names import names_of, server_name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Node.Example.org", ("node.example.org",)),
        ("a.example.org,b.example.org,a.example.org", ("a.example.org", "b.example.org")),
        ("münchen.example.org", ("xn--mnchen-3ya.example.org",)),
        ("192.0.2.7,2001:DB8:0::1", ("192.0.2.7", "2001:db8::1")),
    ],
)
def test_names_and_addresses_are_accepted_in_one_spelling(text: str, names: tuple[str, ...]) -> None:
    assert names_of(text) == names


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("*.example.org", "wildcard"),
        ("node.example.org.", "must not end with a dot"),
        ("node.example.org ", "must not have spaces"),
        (" node.example.org", "must not have spaces"),
        ("a.example.org, b.example.org", "must not have spaces"),
        ("a.example.org\n", "must not have spaces"),
        ("localhost", "no public DNS"),
        ("node.localhost", "no public DNS"),
        ("printer.local", "no public DNS"),
        ("node", "no domain"),
        ("a.example.org,", "empty"),
        ("https://node.example.org", "URL"),
        ("node.example.org:443", "must not have a port"),
        ("0.0.0.0", "address of a host"),
        ("fe80::1%eth0", "address of a host"),
        ("no_de.example.org", "not a DNS name"),
        ("-a.example.org", "not a DNS name"),
        ("a..example.org", "not a DNS name"),
        (f"{'a' * 64}.example.org", "not a DNS name"),
        (".".join(["abcdefgh"] * 30), "not a DNS name"),
        ("1.2.3", "not a DNS name"),
        ("a.example.org\0", "not a DNS name"),
        ("a/../b.example.org", "URL"),
        ("ü" * 70 + ".example.org", "not a DNS name"),
    ],
)
def test_what_no_server_would_certify_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=rule) as caught:
        names_of(text)
    assert caught.value.message.startswith("API.TLS.AutoCert can't get a certificate for")


def test_a_hundred_names_are_the_most() -> None:
    names = [f"n{number}.example.org" for number in range(101)]
    assert len(names_of(",".join(names[:100]))) == 100
    with pytest.raises(ConfigurationError, match="101 names"):
        names_of(",".join(names))


def test_a_validation_of_an_address_names_its_reverse_name() -> None:
    assert server_name("192.0.2.7") == "7.2.0.192.in-addr.arpa"
    assert server_name("2001:db8::1").endswith(".8.b.d.0.1.0.0.2.ip6.arpa")
