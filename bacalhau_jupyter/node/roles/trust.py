"""Whose credentials a node accepts, as its configuration says."""

from __future__ import annotations

from contextlib import AsyncExitStack

from bacalhau_jupyter.auth.credentials import Authenticator
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.lib.clock import Clock


def authenticators(config: Config, key: str, clock: Clock, stack: AsyncExitStack) -> list[Authenticator]:
    """Return who knows credentials here, in the order in which they are asked.

    Parameters
    ----------
    key
        The node's own key, which is worth as much as its owner.
    clock
        Ends what they remember.
    stack
        Closes what they hold.
    """
    return [NodeKey(key)]
