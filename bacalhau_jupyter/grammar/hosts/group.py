"""The group ``host``, and what its verbs share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bacalhau_jupyter.client.connection.hosts import HostCalls
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.records.hosts import FEATURE

T = TypeVar("T")


@bacalhau.group()
def host() -> None:
    """Let Docker Engines of other machines run jobs: a GPU box, over ssh; nothing is installed there."""


def call(work: Callable[[HostCalls], Awaitable[T]]) -> T:
    """Ask the connected node about its hosts.

    Raises
    ------
    NotImplementedHere
        It has none.
    """
    connected = client()
    if FEATURE not in connected.info.features:
        raise NotImplementedHere(
            "the connected node has no Docker hosts",
            hint="it is not one of bacalhau-jupyter, an older one, or one that places no jobs; "
            "`connect --own` leads back to your own node",
        )
    return connected.call(lambda api: work(api.hosts))
