"""The group ``host``, and what its verbs share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bacalhau_jupyter.client.connection.calls.hosts import HostCalls
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.stoppable import run_stoppable
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.records.hosts import FEATURE
from bacalhau_jupyter.models.records.progress import Progress
from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

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
    connected = _connected(doing)
    return connected.call(lambda api: work(api.hosts))


def call_shown(
    work: Callable[[HostCalls, Progress], Coroutine[Any, Any, T]],
    doing: str,
    stop: Callable[[HostCalls], Awaitable[object]],
) -> T:
    """Ask the connected node for what takes long, and show how far it is; who interrupts it ends it there, too.

    Raises
    ------
    NotImplementedHere
        It has no hosts.
    """
    return run_stoppable(
        _connected(doing), lambda api, progress: work(api.hosts, progress), lambda api: stop(api.hosts)
    )


def _connected(doing: str) -> Client:
    connected = client()
    if FEATURE not in connected.info.features:
        raise NotImplementedHere(
            "the connected node has no Docker hosts",
            hint="it is not one of bacalhau-jupyter, an older one, or one that places no jobs; "
            "`connect --own` leads back to your own node",
        )
    if doing:
        click.echo(readable(doing), err=True)
    connected.api()
    return connected
