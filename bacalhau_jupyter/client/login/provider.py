"""The identity provider of a cluster, as the cluster describes it to its clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.text import readable

_LONGEST = 120


@dataclass(frozen=True)
class Provider:
    """Where and as what a client logs in.

    Attributes
    ----------
    name
        What people know it as.
    device_url, token_url
        Its endpoints for devices.
    interval_s
        Seconds between questions, where the provider names none; 0 leaves it to the client.
    """

    name: str
    client_id: str
    device_url: str
    token_url: str
    scopes: tuple[str, ...] = ()
    audience: str = ""
    interval_s: int = 0

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Provider | None:
        """Read the answer of ``agent/authconfig``; None where the cluster has no single sign-on.

        Raises
        ------
        BacalhauError
            It has a provider, and does not say where clients log in.
        """
        section = answer.get("Config") or answer.get("config")
        if not isinstance(section, Mapping):
            return None
        texts = {name: value for name, value in section.items() if isinstance(value, str) and value}
        if "ProviderID" not in texts or "ProviderName" not in texts:
            return None
        missing = [name for name in ("DeviceClientID", *_ENDPOINTS) if name not in texts]
        wrong = [name for name in _ENDPOINTS if name in texts and not is_web_address(texts[name])]
        if missing or wrong:
            raise BacalhauError(
                f"unable to initiate SSO login flow: the cluster gives no usable {', '.join(missing or wrong)}",
                hint="Tell the people who run the cluster: its keys API.Auth.Oauth2.* are incomplete.",
                component=COMPONENT,
            )
        scopes, interval = section.get("Scopes"), section.get("PollingInterval")
        return cls(
            name=readable(texts["ProviderName"][:_LONGEST]),
            client_id=texts["DeviceClientID"],
            device_url=texts["DeviceAuthorizationEndpoint"],
            token_url=texts["TokenEndpoint"],
            scopes=tuple(map(str, scopes)) if isinstance(scopes, list) else (),
            audience=texts.get("Audience", ""),
            interval_s=interval if isinstance(interval, int) and interval > 0 else 0,
        )


_ENDPOINTS = ("DeviceAuthorizationEndpoint", "TokenEndpoint")


def is_web_address(url: str) -> bool:
    """Whether a URL is http or https with a host; nothing else becomes a link or gets a form."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        return False
