"""At which URL nodes of other processes reach the API."""

from __future__ import annotations

from typing import Any

import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.cluster.far import check, far_url

OWN = "http://127.0.0.1:1234"


def url(values: dict[str, Any], *, advertised: str = "", public: bool = True, own: str = OWN) -> str:
    return far_url(Config(values), own, advertised_host=advertised, is_link_public=public)


@pytest.mark.parametrize(
    ("address", "far"),
    [
        ("box.example", "http://box.example:1234"),
        ("192.0.2.7:99", "http://192.0.2.7:99"),
        ("[2001:db8::1]:99", "http://[2001:db8::1]:99"),
        ("https://box.example", "https://box.example"),
        ("HTTPS://box.example:8443/", "https://box.example:8443"),
    ],
)
def test_an_advertised_address_is_taken_as_it_is(address: str, far: str) -> None:
    assert url({"API.AdvertisedAddress": address}) == far


@pytest.mark.parametrize(
    "address", ["a b", "ftp://x", "https://user@x", "x:0", "x:99999", "https://x/api", "://"]
)
def test_what_is_no_address_is_refused_in_one_sentence(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"API\.AdvertisedAddress is not HOST"):
        check(Config({"API.AdvertisedAddress": address}))


def test_an_api_of_this_machine_only_is_reached_by_its_own_nodes_only() -> None:
    assert url({}, public=False) == OWN
    assert url({}, public=True) == ""
    assert url({}, public=True, advertised="box") == ""


def test_an_api_that_listens_everywhere_is_reached_where_the_cluster_is_advertised() -> None:
    everywhere = {"API.Host": "0.0.0.0"}
    assert url(everywhere, advertised="box") == "http://box:1234"
    # A guess would fail jobs where it is wrong.
    assert url(everywhere) == ""
    assert url(everywhere, public=False) == OWN


def test_an_api_at_an_address_of_the_network_is_reached_there() -> None:
    assert url({"API.Host": "192.0.2.7"}, own="https://192.0.2.7:1234") == "https://192.0.2.7:1234"


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_the_address_of_links_to_results_serves_for_uploads_too_where_the_api_listens_or_a_proxy_does(
    host: str,
) -> None:
    listens = host != "127.0.0.1"
    links, port = "Publishers.Types.Local.Address", "Publishers.Types.Local.Port"
    assert url({"API.Host": host, links: "https://box.example"}) == "https://box.example"
    assert url({"API.Host": host, links: "box.example"}) == ("http://box.example:1234" if listens else "")
    # That port serves results only.
    assert url({"API.Host": host, links: "box.example", port: 6001}) == (
        "http://box.example:1234" if listens else ""
    )
