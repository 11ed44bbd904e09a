"""Explains a job to somebody: looks at the cluster and the database, and leaves the rest to `explain`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.records.explanation import Explanation
from bacalhau_jupyter.models.records.quotas import Quotas
from bacalhau_jupyter.orchestrator.explaining.explain import explain
from bacalhau_jupyter.orchestrator.explaining.reading import Cluster, JobRule, read_ahead, read_circumstances
from bacalhau_jupyter.orchestrator.peers.offers import AddressProblem
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.store.store import Store


class Explainer:
    """Says why a job waits, or how it came to run where it did.

    Parameters
    ----------
    store, register, clock, quotas
        What an explanation is derived from.
    address_problem
        Why nodes of other machines lack an address of this one for a job.
    ahead_of
        Returns the waiting jobs that go before another one, by ID.
    """

    def __init__(
        self,
        store: Store,
        register: Register,
        clock: Clock,
        quotas: Quotas,
        *,
        address_problem: AddressProblem,
        ahead_of: Callable[[str], Sequence[str]],
    ) -> None:
        self._store = store
        self._register = register
        self._clock = clock
        self._quotas = quotas
        self._address_problem = address_problem
        self._ahead_of = ahead_of

    async def explain(self, job: str, namespace: str, may_see: JobRule, principal: str) -> Explanation:
        """Explain a job without the names of jobs that are hidden."""
        cluster = Cluster(
            self._register.views(),
            self._register.states(),
            self._clock.now_ns(),
            self._quotas,
            self._address_problem,
        )
        circumstances = await self._store.read(
            lambda c: read_circumstances(c, job, namespace, may_see, cluster)
        )
        ahead = self._ahead_of(circumstances.situation.job.id)
        if ahead:
            jobs_ahead = await self._store.read(lambda c: read_ahead(c, ahead, may_see))
            circumstances = dataclasses.replace(circumstances, ahead=jobs_ahead)
        return explain(circumstances, principal)
