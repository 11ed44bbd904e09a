"""Calls about the Python environments that a node shows to jobs."""

from __future__ import annotations

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.records.environments import (
    PATH,
    ListEnvironmentsResponse,
    PythonDescription,
    RegisteredEnvironment,
)


class EnvironmentCalls:
    """The routes of ``/agent/environments``. Each raises BacalhauError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> ListEnvironmentsResponse:
        """Return the environments that jobs may see."""
        return await self._connection.request("GET", PATH, ListEnvironmentsResponse)

    async def register(self, description: PythonDescription) -> RegisteredEnvironment:
        """Register an environment of the node's machine; for the node's own user only."""
        return await self._connection.request("POST", PATH, RegisteredEnvironment, body=description)
