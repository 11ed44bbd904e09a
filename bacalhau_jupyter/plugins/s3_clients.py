"""The S3 clients that the configuration allows, as the ``s3`` source and publisher use them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.plugins.contract import Availability
from bacalhau_jupyter.transfer.s3.requests.access import S3Access
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, missing_package


class ConfiguredS3:
    """Makes the clients on first use, and closes them.

    Parameters
    ----------
    settings
        Looks up a configuration key.
    clock
        For credentials that expire.
    component
        Named in errors.
    """

    def __init__(self, settings: Callable[[str], Any], clock: Clock, component: str) -> None:
        self._settings = settings
        self._clock = clock
        self._component = component
        self._clients: S3Clients | None = None

    async def probe(self) -> Availability:
        """Need boto3 and settings that can be read; whether there are credentials is asked by each job."""
        problem = await asyncio.to_thread(missing_package)
        try:
            self.access()
        except ConfigurationError as error:
            problem = error.message
        return Availability(available=not problem, problem=problem)

    def access(self) -> S3Access:
        """Return which servers get credentials; raises ConfigurationError where that is not clear."""
        return S3Access.of(self._settings)

    @property
    def clients(self) -> S3Clients:
        """The clients; raises ConfigurationError where it is not clear which servers get credentials."""
        if self._clients is None:
            self._clients = S3Clients(self._component, self._clock, self.access())
        return self._clients

    async def close(self) -> None:
        """Close the clients, if there are any."""
        if self._clients is not None:
            await asyncio.to_thread(self._clients.close)
