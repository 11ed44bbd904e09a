"""``API.Auth.Oauth2``: which provider's tokens a node accepts, and how its users get one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError

SECTION = "API.Auth.Oauth2"
COMPONENT = "Config"

NAMES = (
    "ProviderID",
    "ProviderName",
    "TokenEndpoint",
    "JWKSUri",
    "Issuer",
    "DeviceClientID",
    "Audience",
    "Scopes",
    "DeviceAuthorizationEndpoint",
    "PollingInterval",
)
"""The keys of the section, in the order in which clients get them."""

_NEEDED_FOR_TOKENS = ("JWKSUri", "Issuer", "Audience", "DeviceClientID")
"""In the order in which the official message lists them."""
_NEEDED_FOR_LOGIN = ("ProviderName", "TokenEndpoint", "DeviceAuthorizationEndpoint")
_URLS = ("TokenEndpoint", "DeviceAuthorizationEndpoint")


@dataclass(frozen=True)
class SignOn:
    """What a node needs to check tokens, and what it tells its clients.

    Attributes
    ----------
    jwks_uri
        Where the provider publishes its keys.
    issuer, audience
        What each token must name, exactly.
    published
        The section as clients get it (``agent/authconfig``): what is set, by official name.
    warnings
        Sentences about what works, but not as the operator may expect.
    """

    jwks_uri: str
    issuer: str
    audience: str
    published: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> SignOn | None:
        """Read the section; None where nothing of it is set.

        Raises
        ------
        ConfigurationError
            Some of the settings are missing, or a value is not a URL.
        """
        values = {name: section[name] for name in NAMES if section.get(name)}
        if not values:
            return None
        missing = [name for name in _NEEDED_FOR_TOKENS if name not in values]
        if missing:
            raise ConfigurationError(
                f"missing required OAuth2 fields for JWT authorization: {', '.join(missing)}",
                hint=f"Set them below {SECTION}, or remove the section.",
                component=COMPONENT,
            )
        if "ProviderID" not in values:
            # An official node would then be open to everybody.
            raise ConfigurationError(
                f"{SECTION} has no ProviderID, without which single sign-on is off",
                hint=f"Set {SECTION}.ProviderID, or remove the section.",
                component=COMPONENT,
            )
        if not _is_url(values["JWKSUri"]):
            raise ConfigurationError(f"invalid JWKS URL format: {values['JWKSUri']}", component=COMPONENT)
        for name in _URLS:
            if name in values and not _is_url(values[name]):
                raise ConfigurationError(
                    f"{SECTION}.{name} is not an http or https URL: {values[name]}", component=COMPONENT
                )
        if values.get("PollingInterval", 1) < 0:
            raise ConfigurationError(f"{SECTION}.PollingInterval must not be negative", component=COMPONENT)
        return cls(values["JWKSUri"], values["Issuer"], values["Audience"], values, tuple(_warnings(values)))


def _warnings(values: Mapping[str, Any]) -> list[str]:
    sentences = []
    missing = [name for name in _NEEDED_FOR_LOGIN if name not in values]
    if missing:
        sentences.append(
            f"{SECTION} has no {', '.join(missing)}: tokens are accepted, but clients can't log in by themselves"
        )
    insecure = [name for name in ("JWKSUri", *_URLS) if name in values and _is_open_wire(values[name])]
    if insecure:
        sentences.append(
            f"{SECTION} names {', '.join(insecure)} without TLS: others on the network can forge tokens or take them"
        )
    return sentences


def _is_open_wire(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
