"""Publisher ``noop``: publishes nothing, for tests and load figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.publisher import Availability, Bid, PublishRequest

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions


class NoopPublisher:
    """Accepts every result and keeps none; the execution's reference stays empty."""

    type = "noop"

    def __init__(self, options: PluginOptions | None = None) -> None:
        pass

    async def probe(self) -> Availability:
        return Availability(available=True)

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        return SpecConfig()

    async def close(self) -> None:
        return
