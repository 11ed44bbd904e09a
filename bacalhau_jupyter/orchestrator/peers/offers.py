"""A job as it is offered to a node of another process: in the official form, with links that it can fetch."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from bacalhau_jupyter.lib.nearby import is_near
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import (
    InputSource,
    NetworkConfig,
    NetworkType,
    SpecConfig,
    Task,
    replace,
)
from bacalhau_jupyter.models.records.uploads import parse_link
from bacalhau_jupyter.models.wire.messages import AskForBid, ToCompute

ROOM = 32 * 1024
"""Bytes of a message beside the spec: envelope, headers, the execution, its events."""


class _OldNetworkType(enum.Enum):
    """What official nodes before v1.6.1 call ``Host``; the newer ones know both names."""

    FULL = "Full"


_NO_NETWORK = Task().network
"""The one that is not written; an official node of v1.6.0 can't read ``Default``."""


def shaped(message: ToCompute, *, is_stock: bool, far_address: str) -> ToCompute:
    """Return a message as a node of another process gets it.

    Parameters
    ----------
    message
        As it is stored.
    is_stock
        Whether the node is an official one; one of ours gets the job's network as it is.
    far_address
        Base URL at which the node reaches this one; empty if it can't.
    """
    if not isinstance(message, AskForBid) or message.execution.job is None:
        return message
    job = message.execution.job
    tasks = [_task(task, is_stock=is_stock, far_address=far_address) for task in job.tasks]
    return AskForBid(
        events=message.events, execution=replace(message.execution, job=replace(job, tasks=tasks))
    )


def address_problem(job: Job, far_address: str) -> str:
    """Say why nodes of other machines can't fetch the inputs of a job; empty where they can.

    Parameters
    ----------
    far_address
        Base URL at which they reach this node; empty if they can't.
    """
    if far_address or not needs_address(job):
        return ""
    return "an input is a link to this machine, and the node may be another one: no address is advertised"


AddressProblem = Callable[[Job], str]
"""Returns why nodes of other machines can't do without an address of this one for a job, one sentence; else empty."""


def no_address_problem(job: Job) -> str:
    """Say that no job needs an address (an `AddressProblem`)."""
    return ""


def needs_address(job: Job) -> bool:
    """Whether an input of a job is a link to this node that only this machine can follow."""
    return any(_is_own_link(item) for task in job.tasks for item in task.input_sources)


def largest_spec(payload_limit: int) -> int:
    """Return the most bytes of a spec that fits into one message of a link."""
    return max(0, payload_limit - ROOM)


def _task(task: Task, *, is_stock: bool, far_address: str) -> Task:
    if is_stock:
        task = replace(task, network=_network(task.network))
    if far_address and any(_is_own_link(item) for item in task.input_sources):
        sources = [
            _reachable(item, far_address) if _is_own_link(item) else item for item in task.input_sources
        ]
        task = replace(task, input_sources=sources)
    return task


def _network(network: NetworkConfig) -> NetworkConfig:
    if network.type is NetworkType.DEFAULT:
        return _NO_NETWORK
    if network.type is NetworkType.HOST:
        # Reading makes both names one, so the model has no name for the old one.
        return replace(network, type=cast("NetworkType", _OldNetworkType.FULL))
    return network


def _is_own_link(item: InputSource) -> bool:
    url = item.source.param("URL")
    return isinstance(url, str) and parse_link(url) is not None and is_near(url)


def _reachable(item: InputSource, far_address: str) -> InputSource:
    """Return an input whose link leads to another address; the signature covers path and query only."""
    params = {
        name: _moved(str(value), far_address) if name.lower() == "url" else value
        for name, value in item.source.params.items()
    }
    return replace(item, source=SpecConfig(type=item.source.type, params=params))


def _moved(url: str, far_address: str) -> str:
    base, parts = urlsplit(far_address), urlsplit(url)
    path = f"{base.path.rstrip('/')}{parts.path}"
    return urlunsplit((base.scheme, base.netloc, path, parts.query, parts.fragment))


def too_large(spec_bytes: int, limits: Iterable[int | None]) -> int | None:
    """Return the most bytes that one of several nodes can be sent, where none can be sent a spec; else None.

    Parameters
    ----------
    spec_bytes
        Size of the spec.
    limits
        The payload limit of each node's link.
    """
    known = list(limits)
    if not known or any(limit is None or spec_bytes <= largest_spec(limit) for limit in known):
        return None
    return max(largest_spec(limit) for limit in known if limit is not None)


FarAddress = Callable[[], str]
"""Returns the base URL at which nodes of other machines reach this one's API; empty if they can't."""


def nowhere() -> str:
    """Say that nodes of other machines can't reach this one (a `FarAddress`)."""
    return ""
