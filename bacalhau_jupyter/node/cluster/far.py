"""At which URL nodes of other processes reach this node's API, to fetch what it keeps for jobs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import base_url
from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.addresses import LinkAddress

KEY = "API.AdvertisedAddress"

_EVERYWHERE = ("", "0.0.0.0", "::")
_ADDRESS = re.compile(
    r"(?P<scheme>https?://)?(?P<host>[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])"
    r"(?P<port>:[0-9]{1,5})?/?",
    re.IGNORECASE,
)


def check(config: Config) -> None:
    """Refuse an address that is none.

    Raises
    ------
    ConfigurationError
        In one sentence.
    """
    _advertised(config, "http", 1)


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
    if advertised := _advertised(config, scheme, port):
        return advertised
    links = LinkAddress.of(config).of_api()
    if links.host and not is_loopback(links.host.strip("[]")):
        return links.applied_to(own_url)
    host = str(config["API.Host"]).strip("[]")
    if host in _EVERYWHERE:
        # An address that is only guessed would fail jobs where it is wrong.
        return (
            base_url(advertised_host, port, scheme) if advertised_host else _unless(is_link_public, own_url)
        )
    return _unless(is_link_public, own_url) if is_loopback(host) else base_url(host, port, scheme)


def _unless(is_link_public: bool, own_url: str) -> str:
    return "" if is_link_public else own_url


def _advertised(config: Config, scheme: str, port: int) -> str:
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
    # A scheme without a port means the one that it stands for, not the API's.
    own_port = "" if match["scheme"] else f":{port}"
    return f"{(match['scheme'] or f'{scheme}://').lower()}{match['host']}{match['port'] or own_port}"
