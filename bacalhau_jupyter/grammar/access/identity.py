"""``id``: who this user is for an official node."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Result, Table
from bacalhau_jupyter.grammar.root import bacalhau
from bacalhau_jupyter.grammar.session import overrides, without_directory


@bacalhau.command("id")
@print_options
def show_id(**show: Any) -> Result:
    """Show the client ID of the key pair in user_id.pem."""
    from bacalhau_jupyter.config.identity import client_id
    from bacalhau_jupyter.config.repo import Repo

    own = client_id(Repo.locate(without_directory(overrides())[1]).path)
    return Table(("client id",), [(own,)], {"ClientID": own})
