"""The address of a cluster as a person enters it."""

from __future__ import annotations

from urllib.parse import urlsplit

from bacalhau_jupyter.config.endpoint import endpoint_url, shown_endpoint
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.models.names import shown

_API = "/api/v1"


def checked_address(text: str) -> str:
    """Return the URL that an address means; without a scheme it is http, without a port 1234.

    Raises
    ------
    BadRequest
        It is no address of an API, or holds what must not be shown.
    """
    text = text.strip()
    if not text:
        raise BadRequest("the address is empty", hint="host:1234, or a URL")
    scheme, separator, place = text.partition("://")
    if separator and scheme.lower() in ("nats", "tls"):
        raise BadRequest(
            f"{shown(shown_endpoint(text))} is where compute nodes join a cluster, not its API",
            hint="give the address of its API, such as http://host:1234",
        )
    if shown_endpoint(text) != text:
        raise BadRequest(
            "the address holds a user or a password, which would be shown with it",
            hint="leave it out, and give --user NAME (the password is asked for) or --token-file FILE",
        )
    if any(character in text for character in "?#") or not text.isprintable() or " " in text:
        raise BadRequest(
            f"{shown(text)} is not the address of an API", hint="host:1234, or a URL that ends before /api/v1"
        )
    try:
        url = endpoint_url(f"{scheme.lower()}://{place}" if separator else text)
        parts = urlsplit(url)
        _ = parts.port
    except (ConfigurationError, ValueError) as error:
        raise BadRequest(
            f"{shown(text)} is not the address of an API", hint="host:1234, or a URL with http:// or https://"
        ) from error
    if not parts.hostname:
        raise BadRequest(f"{shown(text)} names no host", hint="host:1234, or a URL")
    # Whoever copies an address from a browser or a log gives a path of the API.
    return url.partition(_API)[0].rstrip("/")
