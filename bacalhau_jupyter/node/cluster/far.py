"""At which URL others reach this node's API, to fetch what it keeps for jobs and of them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import base_url
from bacalhau_jupyter.lib.nearby import is_every_address, is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.addresses import PORT, LinkAddress

KEY = "API.AdvertisedAddress"

_ADDRESS = re.compile(
    r"(?P<scheme>https?://)?(?P<host>[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])"
    r"(?P<port>:[0-9]{1,5})?/?",
    re.IGNORECASE,
)


def check(config: Config) -> None:
    """Refuse a value of `API.AdvertisedAddress` that is not an address.

    Raises
    ------
    ConfigurationError
        The value is not an address.
    """
    advertised_url(config, "http://127.0.0.1:1")


def far_url(config: Config, own_url: str, *, advertised_host: str, is_link_public: bool) -> str:
    """Return the base URL at which nodes that join reach the API; empty where they don't.

    Parameters
    ----------
    own_url
        The API as clients of this machine dial it.
    advertised_host
        What `cluster open --advertise` named; empty without.
    is_link_public
        Whether nodes of other machines can join.
    """
    parts = urlsplit(own_url)
    scheme, port = parts.scheme, parts.port or 0
    if advertised := advertised_url(config, own_url):
        return advertised
    links = LinkAddress.of(config).of_api()
    if links.host and not is_loopback(links.host.strip("[]")) and not listener_missing(config, links):
        return links.applied_to(own_url)
    if host := named_host(config) or (advertised_host if is_every_address(config["API.Host"]) else ""):
        return base_url(host, port, scheme)
    return "" if is_link_public else own_url


def listener_missing(config: Config, links: LinkAddress) -> str:
    """Say why nobody of the network could follow links to an address of ours; empty where somebody listens there.

    A proxy in front of the node, and a listener of the links' own, are reached whatever the API listens to.
    """
    is_api_local = is_loopback(str(config["API.Host"]).strip("[]"))
    if not is_api_local or links.scheme or links.listens or is_loopback(links.host.strip("[]")):
        return ""
    return f"nobody listens at {links.host} for those who fetch results: set {PORT}, too"


def named_host(config: Config) -> str:
    """Return the address of the network at which the API listens; empty for loopback, and for all addresses.

    Of all addresses, one would have to be guessed, and jobs would fail where the guess is wrong.
    """
    host = str(config["API.Host"]).strip("[]")
    return "" if is_loopback(host) or is_every_address(host) else host


def advertised_url(config: Config, own_url: str) -> str:
    """Return the base URL that `API.AdvertisedAddress` means; empty where it is not set.

    Raises
    ------
    ConfigurationError
        The value is not an address.
    """
    address = str(config[KEY]).strip()
    if not address:
        return ""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int((match["port"] or ":1")[1:]) < 65536:
        raise ConfigurationError(
            f"{KEY} is not HOST, HOST:PORT or a URL of these: {address!r}",
            hint="such as gpu-box.example, 192.0.2.7:1234 or https://bacalhau.example",
            component="Config",
        )
    parts = urlsplit(own_url)
    # A scheme without a port means the one that it stands for, not the API's.
    own_port = "" if match["scheme"] else f":{parts.port}"
    return f"{(match['scheme'] or f'{parts.scheme}://').lower()}{match['host']}{match['port'] or own_port}"
