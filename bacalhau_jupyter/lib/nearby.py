"""Addresses of this machine: which are, how URLs hold them, and whether a program listens there."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

_DIAL_S = 0.5


def is_near(url: str) -> bool:
    """Whether a node may be on this machine (or at the other end of a tunnel: then it names no file that is here)."""
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host name or address leads to this machine only; other names than localhost are not resolved."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_every_address(host: str) -> bool:
    """Whether a program that listens there listens at all addresses of its machine."""
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """Return a host as URLs hold it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def is_own_address(url: str) -> bool:
    """Whether a program of this machine could listen at a URL's host; names other than localhost are not resolved."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except (ValueError, OSError):
        return is_near(url)
    return True


def is_listening(url: str) -> bool:
    """Whether a program listens at an address of this machine. Blocks for a moment at most."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_DIAL_S):
            return True
    except OSError:
        return False
