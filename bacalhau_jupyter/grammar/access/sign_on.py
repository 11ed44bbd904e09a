"""``auth login|logout`` and ``auth sso …``: log in to a cluster, and forget the login."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.grammar.access.authentication import auth
from bacalhau_jupyter.grammar.output import Text
from bacalhau_jupyter.grammar.root import client
from bacalhau_jupyter.grammar.session import current, overrides, without_directory

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client
    from bacalhau_jupyter.client.login.flow import LoggedIn, Login
    from bacalhau_jupyter.config.logins.keeping import Logins
    from bacalhau_jupyter.config.repo import Repo

CREDENTIAL_VARIABLES = ("BACALHAU_API_KEY", "BACALHAU_API_USERNAME", "BACALHAU_API_PASSWORD")


@auth.command("login")
def log_in() -> Text | None:
    """Log in to the cluster, in whichever way it wants."""
    if client().endpoint.embedded:
        return Text("this is your own node, which needs no login")
    _logged_in(lambda login: login.any_way())
    return None


@auth.command("logout")
def log_out() -> Text:
    """Forget each saved login to the cluster."""
    return _logged_out()


@auth.group("sso")
def sso() -> None:
    """Log in through the cluster's identity provider."""


@sso.command("login")
def sso_login() -> None:
    """Log in by a page in a browser and a code."""
    _logged_in(lambda login: login.by_sign_on())


@sso.command("logout")
@click.option("-f", "--force", is_flag=True, help="Without a question.")
def sso_logout(force: bool) -> Text:
    """Forget each saved login to the cluster."""
    url = client().endpoint.url
    if not force and not click.confirm(f"Are you sure you want to logout from {url}?", err=True):
        return Text("Logout cancelled")
    return _logged_out()


@sso.command("token")
@click.option("-d", "--decode", is_flag=True, help="Show the header and the claims of the token.")
def sso_token(decode: bool) -> Text:
    """Print the token of the login."""
    token = _logins().sign_on_token(client().endpoint)
    if not token:
        return Text("No authentication token found")
    if decode:
        from bacalhau_jupyter.client.login.reading import parts

        header, claims = (json.dumps(part, indent=2, sort_keys=True) for part in parts(token))
        return Text(f"Header:\n{header}\n\nClaims:\n{claims}")
    current().check_secret()
    return Text(token)


def _logged_in(way: Callable[[Login], LoggedIn]) -> None:
    from bacalhau_jupyter.client.login.flow import Login

    connected = client()
    way(Login(connected.endpoint, _repo(), connected.portal, current().prompter()))
    connect_anew(connected)
    if has_credential_variable():
        click.echo(
            "Warning: the variables BACALHAU_API_KEY and BACALHAU_API_USERNAME go before this login; unset them",
            err=True,
        )


def _logged_out() -> Text:
    connected = client()
    url = connected.endpoint.url
    if not _logins().forget(connected.endpoint):
        return Text(f"No login to {url} is saved")
    connect_anew(connected)
    return Text(f"\nSuccessfully logged out from {url}")


def has_credential_variable() -> bool:
    """Whether a variable holds a credential, which goes before every login."""
    return any(os.environ.get(name) for name in CREDENTIAL_VARIABLES)


def connect_anew(connected: Client) -> None:
    """Let a client read its credential again, after a login or a log-out."""
    connected.portal.run(connected.reconnect(start=False))


def _repo() -> Repo:
    from bacalhau_jupyter.config.repo import Repo

    return Repo.open(without_directory(overrides())[1])


def _logins() -> Logins:
    from bacalhau_jupyter.config.logins.keeping import Logins

    return Logins(_repo())
