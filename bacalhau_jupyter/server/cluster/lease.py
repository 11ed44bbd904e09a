"""The lease on the embedded node: held while Jupyter runs, taken again when the node comes back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.server.cluster.connection import FIRST_DELAY_S, LONGEST_DELAY_S, ClusterConnection

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint

log = logging.getLogger(__name__)

STEADY_S = 60.0
"""A lease that lasted this long shows a node in order; the next loss is answered at once."""


class LeaseKeeper:
    """Supervises the embedded node: an open lease keeps it alive, a lost one has it looked up or started again.

    Parameters
    ----------
    connection
        Which node; looking it up starts it.
    clock
        Measures how long a lease lasted.
    """

    def __init__(self, connection: ClusterConnection, clock: Clock | None = None) -> None:
        self._connection = connection
        self._clock = clock or SystemClock()

    async def keep(self) -> None:
        """Hold the lease until cancelled. A cluster that is not ours needs none, until the user chooses another."""
        delays = backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
        reported = ""
        while True:
            try:
                endpoint = await self._connection.endpoint()
            except BacalhauError as error:
                if error.message != reported:
                    reported = error.message
                    log.warning("bacalhau: %s", reported)
                await asyncio.sleep(next(delays))
                continue
            reported = ""
            if not endpoint.embedded:
                await self._connection.until_switched()
                continue
            since = self._clock.monotonic_ns()
            if await self._hold(endpoint):
                delays = backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
                continue
            self._connection.drop(endpoint)
            if self._clock.monotonic_ns() - since >= STEADY_S * SECOND:
                delays = backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
                continue
            await asyncio.sleep(next(delays))

    async def _hold(self, endpoint: Endpoint) -> bool:
        """Hold one lease to its end; True when it is given back because the user chose another cluster."""
        api = AsyncAPI(endpoint)
        try:
            return await self._connection.unless_switched(api.hold_lease())
        except BacalhauError as error:
            log.warning("bacalhau: the node of this Jupyter server was lost: %s", error.message)
        finally:
            await api.close()
        return False
