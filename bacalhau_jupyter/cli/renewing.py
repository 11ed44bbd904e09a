"""Log in again when a cluster refuses a command: the token has expired, or there was none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bacalhau_jupyter.cli.prompts import TerminalPrompter
from bacalhau_jupyter.client.login.flow import Login
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.grammar.access.sign_on import connect_anew, has_credential_variable

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client


def logged_in_again(client: Client, data_dir: str | None) -> bool:
    """Log in to a client's cluster, and let the client use it; False where a login would not help.

    Parameters
    ----------
    data_dir
        The directory that the command named for its state, if it named one.

    Raises
    ------
    BacalhauError
        The login failed.
    """
    api = client.api()
    if api.was_let_in or api.endpoint.embedded or has_credential_variable():
        # A command that was half done must not be started again.
        return False
    prompter = TerminalPrompter(is_asked_for=False)
    login = Login(api.endpoint, Repo.open(data_dir), client.portal, prompter)
    if login.if_offered(waits=sys.stdin.isatty()) is None:
        return False
    connect_anew(client)
    return True
