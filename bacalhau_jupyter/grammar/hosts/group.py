"""The group ``host``, and what its verbs share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from bacalhau_jupyter.client.connection.hosts import HostCalls
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.records.hosts import FEATURE
from bacalhau_jupyter.models.text import readable

T = TypeVar("T")


@bacalhau.group()
def host() -> None:
    """Let Docker Engines of other machines run jobs: a GPU box, over ssh; nothing is installed there."""


def call(work: Callable[[HostCalls], Awaitable[T]], doing: str = "") -> T:
    """Ask the connected node about its hosts.

    Parameters
    ----------
    doing
        What a person is told meanwhile, for work that may take more than a second or two.

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
    if doing:
        click.echo(readable(doing), err=True)
    return connected.call(lambda api: work(api.hosts))
