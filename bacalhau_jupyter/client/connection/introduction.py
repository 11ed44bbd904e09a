"""The first talk with a cluster: whether it is one, whether it accepts the caller, and what it offers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.connection.handshakes import told_apart
from bacalhau_jupyter.models.errors import (
    BacalhauError,
    Forbidden,
    NetworkFailure,
    NotImplementedHere,
    Unauthorized,
)
from bacalhau_jupyter.models.records.node import NodeInfo, NodeState

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint

COMPONENT = "Client"
LIMIT_S = 15.0


@dataclass(frozen=True)
class Introduction:
    """What a cluster says of itself.

    Attributes
    ----------
    version
        Of Bacalhau, such as ``v1.9.3``.
    info
        The node that answers; empty where it tells this caller nothing.
    nodes
        All nodes; None where the caller may not see them.
    """

    version: str
    info: NodeInfo
    nodes: Sequence[NodeState] | None


async def introduce(endpoint: Endpoint, limit_s: float = LIMIT_S) -> Introduction:
    """Talk with a cluster.

    Raises
    ------
    NetworkFailure
        Nothing answers there, or not in time, or not as a Bacalhau API.
    Unauthorized
        It does not accept the credential, or wants one.
    """
    try:
        async with asyncio.timeout(limit_s):
            version = await _version(endpoint)
            api = AsyncAPI(endpoint, timeout_s=limit_s)
            try:
                # The version is public; this is not. Who may not see jobs has a credential that works.
                with suppress(Forbidden):
                    await api.list_jobs(limit=1)
                nodes = None
                with suppress(Forbidden):
                    nodes = (await api.nodes()).nodes
                return Introduction(version, await api.offer(), nodes)
            finally:
                await api.close()
    except TimeoutError as error:
        silent = NetworkFailure(
            f"{endpoint.url} did not answer within {limit_s:.0f} s", hint=_WHERE, component=COMPONENT
        )
        raise await told_apart(endpoint.url, silent) from error


_IS_NATS = 'INFO {"server_id"'
_WHERE = "check the address, and that the cluster runs; an official node's API has port 1234 unless API.Port says else"


async def _version(endpoint: Endpoint) -> str:
    """Return the version; no credential is sent before it is known who answers."""
    api = AsyncAPI(replace(endpoint, token="", basic=""))
    try:
        version = (await api.agent_version()).git_version
    except NetworkFailure as error:
        if _IS_NATS in error.message:
            raise _no_api(endpoint, "a NATS server listens there") from error
        # What is wrong with TLS has a way out of its own; nobody starts a node of his own for a cluster elsewhere.
        if error.retryable:
            away = NetworkFailure(error.message, hint=_WHERE, component=COMPONENT)
            raise await told_apart(endpoint.url, away) from error
        raise
    except (Unauthorized, Forbidden):
        return ""
    except BacalhauError as error:
        raise await told_apart(endpoint.url, _no_api(endpoint, error.message)) from error
    finally:
        await api.close()
    if not version:
        raise _no_api(endpoint, "it names no version")
    return version


def _no_api(endpoint: Endpoint, reason: str) -> NotImplementedHere:
    return NotImplementedHere(
        f"{endpoint.url} does not answer as a Bacalhau API: {reason}",
        hint="give the address of the API (port 1234 by default), not of its web page or of its NATS server",
        component=COMPONENT,
    )
