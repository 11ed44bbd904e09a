"""The first bytes of a connection: TLS or not, and which name and protocols its ClientHello offers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 16 * 1024 + 5
"""Bytes of the longest TLS record with its header."""
ACME_PROTOCOL = "acme-tls/1"
"""The protocol by which a certificate authority checks a name (RFC 8737)."""

_HANDSHAKE = 22
_HEADER = 5
_RANDOM_END = 4 + 2 + 32
_SERVER_NAME, _ALPN = 0, 16


@dataclass(frozen=True)
class Hello:
    """What a client asks for before anything is encrypted.

    Attributes
    ----------
    server_name
        The host that it believes to reach; empty where it names none, as for addresses.
    protocols
        What it would speak inside, in its order (ALPN).
    """

    server_name: str = ""
    protocols: tuple[str, ...] = ()


def is_tls(data: bytes) -> bool:
    """Whether a connection that starts with ``data`` (not empty) begins a TLS handshake."""
    return data[0] == _HANDSHAKE


def is_http(data: bytes) -> bool:
    """Whether a connection that starts with ``data`` may send a plain HTTP request: its method comes first."""
    return data[:1].isalpha()


def is_whole(data: bytes) -> bool:
    """Whether the first record is there; a record that claims to be longer than allowed never will be."""
    if len(data) < _HEADER:
        return False
    return len(data) >= min(_HEADER + int.from_bytes(data[3:5]), LONGEST)


def read_hello(data: bytes) -> Hello:
    """Read the ClientHello of a whole first record.

    What can't be read, or is spread over several records, offers nothing: the handshake itself judges it.
    """
    record = data[_HEADER : _HEADER + int.from_bytes(data[3:5])]
    try:
        return _hello(record)
    except (IndexError, ValueError):
        return Hello()


def _hello(record: bytes) -> Hello:
    _, rest = _block(record[_RANDOM_END:], 1)  # session
    _, rest = _block(rest, 2)  # ciphers
    _, rest = _block(rest, 1)  # compression
    extensions, _ = _block(rest, 2)
    name, protocols = "", list[str]()
    while extensions:
        kind = int.from_bytes(extensions[:2])
        content, extensions = _block(extensions[2:], 2)
        if kind == _SERVER_NAME:
            names, _ = _block(content, 2)
            # The only kind of name is a host's (0).
            name = _block(names[1:], 2)[0].decode("ascii").lower() if names[:1] == b"\0" else ""
        elif kind == _ALPN:
            offers, _ = _block(content, 2)
            while offers:
                protocol, offers = _block(offers, 1)
                protocols.append(protocol.decode("ascii", "replace"))
    return Hello(name, tuple(protocols))


def _block(data: bytes, size: int) -> tuple[bytes, bytes]:
    """Split off what begins with its own length, a number of ``size`` bytes."""
    if len(data) < size:
        raise IndexError("the hello ends early")
    end = size + int.from_bytes(data[:size])
    if len(data) < end:
        raise IndexError("the hello ends early")
    return data[size:end], data[end:]
