"""An engine that fails what it accepted: the bad nodes of a devstack."""

from __future__ import annotations

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.plugins.contract import Availability, Bid
from bacalhau_jupyter.plugins.engine import Engine, Outcome, RunRequest


class FailingEngine:
    """Bids like another engine, and starts nothing (``plugins.engine.Engine``).

    Parameters
    ----------
    engine
        The engine that it stands for.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.type = engine.type

    async def probe(self) -> Availability:
        return await self._engine.probe()

    async def bid(self, execution: Execution) -> Bid:
        return await self._engine.bid(execution)

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        """Fail in the official words."""
        raise BacalhauError(
            f"i am a bad node. i failed execution {request.execution.id}",
            code="BadNode",
            component="Devstack",
        )

    async def attach(self, request: RunRequest) -> bool:
        return False

    async def wait(self, execution_id: str) -> Outcome:
        return await self._engine.wait(execution_id)

    async def cancel(self, execution_id: str) -> None:
        await self._engine.cancel(execution_id)

    async def clean(self, execution_id: str) -> None:
        await self._engine.clean(execution_id)

    async def existing(self) -> list[str]:
        return await self._engine.existing()

    async def close(self) -> None:
        await self._engine.close()
