"""Ports of executions in words, and as links where a browser could open them."""

from __future__ import annotations

import ipaddress

from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.models.jobs.spec import Port

LOOPBACK = "127.0.0.1"
_HTTP_LIKE = ("http", "web", "ui", "api", "dashboard", "notebook", "jupyter", "lab")
_HTTPS_LIKE = "https"


def port_text(port: Port) -> str:
    """Return a port as ``name address:number``, with the port inside where that is another one."""
    inside = f" → {port.target}" if port.target and port.target != port.static else ""
    return f"{port.name} {_address(port)}:{port.static}{inside}"


def port_url(port: Port, host: str = LOOPBACK) -> str:
    """Return a link to a port that by its name speaks HTTP; empty for every other one.

    What listens on the loopback of another machine is not reached from here, so it gets no link.

    Parameters
    ----------
    port
        With its number.
    host
        The cluster's host: where a port that listens on every address is reached.
    """
    name = port.name.lower()
    if not port.static or not any(part.startswith(_HTTP_LIKE) for part in name.split("_")):
        return ""
    try:
        address = ipaddress.ip_address(port.host_network or "0.0.0.0")
    except ValueError:
        return ""
    if "%" in port.host_network:
        return ""  # a zone may hold any text
    if address.is_loopback and not is_loopback(host):
        return ""
    own = f"[{address}]" if address.version == 6 else str(address)
    there = f"[{host}]" if ":" in host else host
    place = there if address.is_unspecified else own
    scheme = "https" if any(part.startswith(_HTTPS_LIKE) for part in name.split("_")) else "http"
    return f"{scheme}://{place}:{port.static}/"


def _address(port: Port) -> str:
    host = port.host_network or "*"
    return f"[{host}]" if ":" in host else host
