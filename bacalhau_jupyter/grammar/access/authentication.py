"""``auth …``: how a cluster wants its users to say who they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Details, Result
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.models.errors import BacalhauError, NotImplementedHere

COMPONENT = "Auth"

_VARIABLES = {
    "API Key": "BACALHAU_API_KEY",
    "Username": "BACALHAU_API_USERNAME",
    "Password": "BACALHAU_API_PASSWORD",
}
_INSTEAD = "BACALHAU_API_KEY, or BACALHAU_API_USERNAME and BACALHAU_API_PASSWORD, log in to a cluster"


@bacalhau.group()
def auth() -> None:
    """Log in to the cluster, and show how it lets people in."""


@auth.command("info")
@print_options
def auth_info(**show: Any) -> Result:
    """Show which credentials are set here, and whether the cluster has single sign-on."""
    connected = client()
    variables = {
        name: "Set" if os.environ.get(variable) else "Not Set" for name, variable in _VARIABLES.items()
    }
    provider = _provider(connected)
    sign_on = {
        "Provider Name": provider.get("ProviderName", ""),
        "Provider ID": provider.get("ProviderID", ""),
    }
    record = {
        "TargetEnvironment": connected.endpoint.url,
        "EnvironmentVariables": variables,
        "SSO": sign_on if any(sign_on.values()) else None,
    }
    return Details(
        record,
        [
            ("", {"Target environment": connected.endpoint.url}),
            ("Environment Variables", dict(variables)),
            (
                "Node SSO Authentication",
                dict(sign_on) if any(sign_on.values()) else "Server does not support SSO login",
            ),
        ],
    )


def _provider(connected: Any) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = connected.call(lambda api: api.auth_config())
    except BacalhauError:
        return {}
    inner = answer.get("Config") or answer.get("config")
    return inner if isinstance(inner, Mapping) else {}


@auth.command("hash-password")
def auth_hash_password() -> None:
    """Refuse: nodes of this version have no users with passwords."""
    raise _not_yet("this version makes no password hashes: its nodes have no users with passwords")


def _not_yet(sentence: str) -> BacalhauError:
    return NotImplementedHere(sentence, hint=_INSTEAD, component=COMPONENT)
