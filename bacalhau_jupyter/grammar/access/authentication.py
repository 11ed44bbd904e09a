"""``auth …``: how a cluster wants its users to say who they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Details, Result, Text
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.session import current
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BacalhauError

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

_VARIABLES = {
    "API Key": "BACALHAU_API_KEY",
    "Username": "BACALHAU_API_USERNAME",
    "Password": "BACALHAU_API_PASSWORD",
}
_NOTE = (
    "Note: Environment variables take precedence over other authentication mechanisms including SSO.\n"
    "To use SSO login, please unset Auth related environment variables first."
)


@bacalhau.group()
def auth() -> None:
    """Log in to the cluster, and show how it lets people in."""


@auth.command("info")
@print_options
def auth_info(**show: Any) -> Result:
    """Show the credentials set here and the cluster's sign-on."""
    from bacalhau_jupyter.client.connection.refusals import credential_kind

    connected = client()
    endpoint = connected.endpoint
    variables = {
        name: "Set" if os.environ.get(variable) else "Not Set" for name, variable in _VARIABLES.items()
    }
    version, provider = _provider(connected)
    sign_on = {
        "Provider Name": provider.get("ProviderName", ""),
        "Provider ID": provider.get("ProviderID", ""),
    }
    has_sign_on = bool(sign_on["Provider ID"])
    record = {
        "TargetEnvironment": endpoint.url,
        "EnvironmentVariables": variables,
        "InUse": credential_kind(endpoint),
        "SSO": sign_on if has_sign_on else None,
    }
    sso = _lines({**sign_on, "Version": version}) if has_sign_on else "Server does not support SSO login"
    # The official text, and one line of ours: what this client sends.
    in_use = f"In use: {credential_kind(endpoint)} (address from: {endpoint.source})"
    text = (
        f"\nTarget environment: {endpoint.url}\n\nEnvironment Variables:\n{_lines(variables)}\n{in_use}\n\n"
        f"Node SSO Authentication:\n{sso}\n\n{_NOTE}"
    )
    return Details(record, [("", text)])


def _lines(facts: Mapping[str, object]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def _provider(connected: Client) -> tuple[str, Mapping[str, Any]]:
    """Return the version of the description, and the description; empty where there is none."""
    try:
        answer: Mapping[str, Any] = connected.call(lambda api: api.auth_config())
    except BacalhauError:
        return "", {}
    members = folded(answer)
    inner = members.get("config")
    return str(members.get("version", "")), inner if isinstance(inner, Mapping) else {}


@auth.command("hash-password")
@click.option("--scrypt", is_flag=True, help="Hash and salt for a policy instead, as a line of JSON.")
def auth_hash_password(scrypt: bool) -> Text:
    """Print the bcrypt hash of a password, for API.Auth.Users."""
    from bacalhau_jupyter.config.passwords import bcrypt_hash, scrypt_line

    password = current().password("Enter password: ")
    return Text(scrypt_line(password) if scrypt else bcrypt_hash(password))
