"""Removing the directories of finished executions, also with files of other users."""

from __future__ import annotations

import asyncio

from bacalhau_jupyter.compute.files import Places
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.engine import Engine, ReclaimingEngine


async def remove_directory(
    places: Places, execution_id: str, execution: Execution | None, engine: Engine | None, timeout_s: float
) -> str:
    """Remove an execution's directory; return why something of it is left, else nothing.

    Parameters
    ----------
    execution
        What ran there; None when that is not known any more.
    engine
        What ran it, which may have to make other users' files ours.
    timeout_s
        Seconds that the engine may take.
    """
    left = await asyncio.to_thread(places.remove, execution_id)
    if left is None:
        return ""
    if execution is not None and isinstance(engine, ReclaimingEngine):
        try:
            async with asyncio.timeout(timeout_s):
                await engine.reclaim(execution, places.directory(execution_id))
        except Exception as error:  # whatever a plug-in raises: housekeeping goes on
            return f"{_reason(left)}; {error or 'the engine does not answer'}"
        still = await asyncio.to_thread(places.remove, execution_id)
        return "" if still is None else _reason(still)
    return _reason(left)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
