"""Messages of nodes: stored with the look that follows from them, before they are acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.wire.messages import BidResult, ComputeError, RunResult
from bacalhau_jupyter.orchestrator.evaluating.evaluations import Evaluations
from bacalhau_jupyter.orchestrator.reports import store_report
from bacalhau_jupyter.orchestrator.scheduler.telling import JobTeller
from bacalhau_jupyter.transport.base import Envelope

_log = logging.getLogger(__name__)


class ReportReceiver:
    """Takes what nodes report.

    Parameters
    ----------
    evaluations
        Stores it.
    processed
        Hears of each report that is stored: node, sequence number, how wrong the node's times were (nanoseconds).
    teller, clock
        Who is told how long it took.
    """

    def __init__(
        self,
        evaluations: Evaluations,
        processed: Callable[[str, int, int], None],
        *,
        teller: JobTeller,
        clock: Clock,
    ) -> None:
        self._evaluations = evaluations
        self._processed = processed
        self._teller = teller
        self._clock = clock

    async def take(self, node_id: str, envelope: Envelope) -> None:
        """Take a message; returns after what it changed is stored."""
        message = envelope.message
        if not isinstance(message, (BidResult, RunResult, ComputeError)):
            _log.warning(
                "node %s sent a %s, which is not for an orchestrator", node_id, type(message).__name__
            )
            return
        started_ns, failed = self._clock.now_ns(), True
        try:
            clock_ns = await self._evaluations.transact(
                message.job_id, lambda transaction: store_report(transaction, node_id, message)
            )
            failed = False
        finally:
            self._teller.processed(type(message).__name__, started_ns, self._clock.now_ns(), failed=failed)
        self._processed(node_id, envelope.seq, clock_ns)
