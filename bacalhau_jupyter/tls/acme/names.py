"""Which names a certificate can be ordered for, and how ACME spells them."""

from __future__ import annotations

import ipaddress
import re

from bacalhau_jupyter.models.errors import ConfigurationError

KEY = "API.TLS.AutoCert"

_MOST_NAMES = 100
_LONGEST_NAME = 253
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_LOCAL = ("localhost", "local", "internal", "localdomain", "home", "lan", "invalid")


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def identifier(name: str) -> dict[str, str]:
    """Return how an order names it."""
    return {"type": "ip" if is_address(name) else "dns", "value": name}


def server_name(name: str) -> str:
    """Return the server name (SNI) of a TLS-ALPN-01 validation; an address has its reverse name (RFC 8738)."""
    return ipaddress.ip_address(name).reverse_pointer if is_address(name) else name


def names_of(text: str) -> tuple[str, ...]:
    """Read ``API.TLS.AutoCert``: names and addresses, separated by commas.

    Raises
    ------
    ConfigurationError
        No server would issue a certificate for one of them; the message names the rule.
    """
    names = tuple(dict.fromkeys(_checked(name) for name in text.split(",")))
    if len(names) > _MOST_NAMES:
        raise ConfigurationError(
            f"{KEY} has {len(names)} names; a certificate can have {_MOST_NAMES} at most", component="Config"
        )
    return names


def _checked(name: str) -> str:
    if problem := _problem(name):
        raise ConfigurationError(
            f"{KEY} can't get a certificate for {name!r}: {problem}",
            hint="write a public DNS name such as node.example.org or an IP address; several are separated by commas",
            component="Config",
        )
    if is_address(name):
        return str(ipaddress.ip_address(name))
    return _ascii(name)


def _ascii(name: str) -> str:
    return name.lower().encode("idna").decode() if not name.isascii() else name.lower()


def _problem(name: str) -> str:
    """Say which rule a name breaks; empty where it breaks none."""
    if not name:
        return "it is empty"
    if re.search(r"\s", name):
        return "a name must not have spaces"
    if is_address(name):
        address = ipaddress.ip_address(name)
        if address.is_unspecified or address.is_multicast or "%" in name:
            return "it is not the address of a host"
        return ""
    if "://" in name or "/" in name:
        return "it is a URL, not a name"
    if "*" in name:
        return "a wildcard needs an answer in the DNS, which the node can't give"
    if name.endswith("."):
        return "a name must not end with a dot"
    if ":" in name:
        return "a name must not have a port"
    try:
        labels = _ascii(name).split(".")
    except UnicodeError:
        return "it is not a DNS name"
    if labels[-1] in _LOCAL:
        return f"names below {labels[-1]!r} belong to no public DNS"
    if len(labels) < 2:
        return "it has no domain"
    if len(_ascii(name)) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return "it is not a DNS name"
    return "" if not labels[-1].isdecimal() else "it is not a DNS name"
