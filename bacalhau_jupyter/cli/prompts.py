"""Talk with a person at a terminal, or with a program that writes to our input, about a login."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.client.login.choosing import choose
from bacalhau_jupyter.models.errors import BadRequest, Unauthorized

if TYPE_CHECKING:
    from bacalhau_jupyter.client.login.device import DeviceCode
    from bacalhau_jupyter.client.login.fields import Field
    from bacalhau_jupyter.client.login.flow import LoggedIn


class TerminalPrompter:
    """Implements ``client.login.flow.Prompter``: questions go to stderr, what is asked for comes from stdin.

    Parameters
    ----------
    is_asked_for
        Whether the command is a login: then it prints where to log in on stdout, as officially.
    """

    def __init__(self, *, is_asked_for: bool = True) -> None:
        self._is_asked_for = is_asked_for

    def show_code(self, code: DeviceCode, provider: str) -> None:
        """Print where to log in, and with which code."""
        lines = ["", "To login, please:", f"  1. Open this URL in your browser: {code.url}"]
        lines.append(f"  2. Enter this code: {code.user_code}")
        if code.complete_url:
            lines += ["", "Or, open this URL in your browser:", f"  {code.complete_url}", ""]
        lines.append(f"Waiting for authentication with {provider}... (press Ctrl+C to cancel)")
        click.echo("\n".join(lines), err=not self._is_asked_for)
        # The person must see it now, also where the output goes through a pipe.
        sys.stdout.flush()

    def ask(self, field: Field) -> str:
        """Return what the person types; what is secret is not shown."""
        if field.is_secret and sys.stdin.isatty():
            return getpass.getpass(f"{field.name}: ")
        return _line(f"{field.name}: ")

    def choose(self, question: str, names: Sequence[str]) -> str | None:
        """Return one of the names; None when the person wants none."""

        def read(prompt: str) -> str:
            try:
                return _line(prompt)
            except Unauthorized:
                return ""

        return choose(question, names, read=read, say=lambda line: click.echo(line, err=True))

    def finish(self, login: LoggedIn | None) -> None:
        """Say that it worked."""
        if login is not None:
            words = f"with {login.by}!" if login.is_sign_on else f"at {login.url} ({login.by})"
            click.echo(f"\nSuccessfully authenticated {words}", err=True)


def read_password(prompt: str) -> str:
    """Return a password that is typed unseen, or comes as a whole line through a pipe.

    Raises
    ------
    BadRequest
        The pipe holds no whole line, in the official words.
    """
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        raise BadRequest("failed to read password from stdin: EOF", component="Auth")
    return line.strip()


def _line(prompt: str) -> str:
    click.echo(prompt, nl=False, err=True)
    line = sys.stdin.readline()
    if not line:
        click.echo(err=True)
        raise Unauthorized(
            "the cluster asks for a login, but the input has ended",
            hint="Run `bacalhau-jupyter auth login` in a terminal, or set BACALHAU_API_KEY.",
            component=COMPONENT,
        )
    return line.rstrip("\r\n")
