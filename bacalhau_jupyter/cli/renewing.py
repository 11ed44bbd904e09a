"""Log in again when a cluster refuses a command: the token has expired, or there was none."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from bacalhau_jupyter.cli.prompts import TerminalPrompter
from bacalhau_jupyter.client.login.flow import Login
from bacalhau_jupyter.config.repo import Repo

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

_VARIABLES = ("BACALHAU_API_KEY", "BACALHAU_API_USERNAME")


def logged_in_again(client: Client, data_dir: str | None) -> bool:
    """Log in to a client's cluster, and let the client use it; False where that is no way out.

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
    if api.was_let_in or api.endpoint.embedded or any(os.environ.get(name) for name in _VARIABLES):
        # A command that was half done must not be begun again.
        return False
    prompter = TerminalPrompter(is_asked_for=False)
    login = Login(api.endpoint, Repo.open(data_dir), client.portal, prompter)
    if login.if_offered(waits=sys.stdin.isatty()) is None:
        return False
    client.portal.run(client.reconnect(start=False))
    return True
