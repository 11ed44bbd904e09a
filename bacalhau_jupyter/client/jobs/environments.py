"""Registering this machine's Python environments with a node: once per connection, then specs carry the hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.errors import Forbidden
from bacalhau_jupyter.models.records.environments import (
    FEATURE,
    PythonDescription,
    environment_hash,
    reference,
)

if TYPE_CHECKING:
    from bacalhau_jupyter.client.connection.api import AsyncAPI
    from bacalhau_jupyter.models.records.node import NodeInfo

Described = Mapping[str, Any]
"""What `interpreters.own_python` returns."""


def named(described: Described) -> Described:
    """Return ``Params.Python`` for a Python of this machine that no node is asked to keep."""
    return reference(environment_hash(convert(dict(described), PythonDescription, "Params.Python")))


ToSpec = Callable[[Described], Described]
"""Turns a description into ``Params.Python`` of a process task."""


class RegisteredEnvironments:
    """Remembers what one client has registered, and where."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def forget(self) -> None:
        """Register everything anew: the node has gone, and another one may come."""
        self._names.clear()

    async def reference(self, api: AsyncAPI, info: NodeInfo, described: Described) -> Described:
        """Return ``Params.Python`` for a Python of this machine, registering it first where that is new.

        A node without the feature gets the description itself; so does one without a process engine, which says so.

        Raises
        ------
        Forbidden
            The node takes registrations only from its own user's programs, and does not know this Python.
        BadRequest
            The node does not show this Python to jobs.
        """
        engines = {name.lower() for name in info.compute_node_info.execution_engines or []}
        if FEATURE not in info.features or "process" not in engines:
            return dict(described)
        description = convert(dict(described), PythonDescription, "Params.Python")
        name = environment_hash(description)
        names = self._names.setdefault(api.endpoint.url, set())
        if name not in names:
            try:
                name = (await api.environments.register(description)).environment
            except Forbidden:
                # Callers that may not register can still use known environments, such as the node's own Python.
                if name not in {each.environment for each in (await api.environments.list()).environments}:
                    raise
            names.add(name)
        return reference(name)
