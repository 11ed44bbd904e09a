"""Jobs that wait for capacity, and which of them to evaluate again when some is freed.

This is a hint kept in memory: whether a job really fits is decided by its evaluation, on what is stored.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bacalhau_jupyter.models.jobs.resources import Resources

WAKE_LIMIT = 64
"""Jobs that one walk wakes at most."""

_Key = tuple[int, int, str]
"""Order of waiting jobs: highest priority, oldest, ID."""

_Shape = tuple[float, int, int, int, frozenset[str]]


@dataclass(frozen=True)
class Wish:
    """What one partition of a waiting job asks for, and the nodes that would do if they were not full."""

    request: Resources
    nodes: frozenset[str]

    @property
    def shape(self) -> _Shape:
        """What makes two wishes alike."""
        request = self.request
        return request.cpu, request.memory, request.disk, request.gpu, self.nodes

    def finds_room(self, left: Mapping[str, Resources]) -> str | None:
        """Return a node with enough left, or None."""
        return next((node for node in self.nodes if node in left and self.request.fits(left[node])), None)


class Waiting:
    """Waiting jobs, grouped by what they ask for; and what is held on each node."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[_Key, Wish]] = {}
        self._groups: dict[_Shape, list[_Key]] = {}
        self._held: dict[str, tuple[str, Resources]] = {}
        self._used: dict[str, Resources] = {}
        self._tried: set[str] = set()

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def add(self, job_id: str, priority: int, created_ns: int, wish: Wish) -> None:
        """A job waits (or waits for something else than before)."""
        self._take_out(job_id)
        key = (-priority, created_ns, job_id)
        self._jobs[job_id] = (key, wish)
        bisect.insort(self._groups.setdefault(wish.shape, []), key)

    def discard(self, job_id: str) -> None:
        """A job waits no more."""
        self._take_out(job_id)
        self._tried.discard(job_id)

    def everyone(self) -> list[tuple[str, int]]:
        """Every waiting job and its priority, in order."""
        return [(job_id, -priority) for priority, _, job_id in sorted(key for key, _ in self._jobs.values())]

    def ahead_of(self, job_id: str) -> list[str]:
        """Return the waiting jobs that go first where freed room would do for them as for this one, in order."""
        entry = self._jobs.get(job_id)
        if entry is None:
            return []
        key, wish = entry
        return [
            other[2]
            for other in sorted(other for other, _ in self._jobs.values() if other < key)
            if not wish.nodes.isdisjoint(self._jobs[other[2]][1].nodes)
        ]

    def hold(self, execution_id: str, node_id: str, resources: Resources) -> None:
        """Note that an execution holds resources of a node; a second note changes nothing."""
        if execution_id not in self._held:
            self._held[execution_id] = (node_id, resources)
            self._used[node_id] = self._used.get(node_id, Resources()) + resources

    def free(self, execution_ids: Iterable[str]) -> bool:
        """Executions hold nothing any more; return whether that freed anything."""
        freed = False
        for execution_id in execution_ids:
            node_id, resources = self._held.pop(execution_id, ("", Resources()))
            if node_id:
                self._used[node_id] = self._used[node_id].minus(resources)
                freed = True
        if freed:
            self.again()
        return freed

    def again(self) -> None:
        """Something changed for the better: jobs that were woken without effect may be woken again."""
        self._tried.clear()

    def worth_a_walk(self, job_id: str, capacity: Mapping[str, Resources]) -> bool:
        """Whether, after an evaluation left this job waiting, `wake` may find a job.

        It may if the job itself seems to fit after all, or if it left unused what it was woken for.
        """
        if job_id in self._tried:
            return True
        return job_id in self._jobs and self._jobs[job_id][1].finds_room(self._left(capacity)) is not None

    def wake(self, capacity: Mapping[str, Resources]) -> list[tuple[str, int]]:
        """Return the jobs that may fit now with their priority, best first, each once until something changes.

        Parameters
        ----------
        capacity
            What each node that takes jobs has in all.
        """
        if not self._jobs:
            return []
        left = self._left(capacity)
        heads = [(group[0], 0, shape) for shape, group in self._groups.items()]
        heapq.heapify(heads)
        woken: list[tuple[str, int]] = []
        while heads and len(woken) < WAKE_LIMIT:
            key, index, shape = heads[0]
            job_id = key[2]
            if job_id not in self._tried:
                wish = self._jobs[job_id][1]
                node = wish.finds_room(left)
                if node is None:
                    # The rest only shrinks, so no other job of this shape fits any more.
                    heapq.heappop(heads)
                    continue
                left[node] = left[node].minus(wish.request)
                woken.append((job_id, -key[0]))
            group = self._groups[shape]
            if index + 1 < len(group):
                heapq.heapreplace(heads, (group[index + 1], index + 1, shape))
            else:
                heapq.heappop(heads)
        self._tried.update(job_id for job_id, _ in woken)
        return woken

    def _left(self, capacity: Mapping[str, Resources]) -> dict[str, Resources]:
        used = self._used
        return {node: total.minus(used[node]) if node in used else total for node, total in capacity.items()}

    def _take_out(self, job_id: str) -> None:
        entry = self._jobs.pop(job_id, None)
        if entry is None:
            return
        key, wish = entry
        group = self._groups[wish.shape]
        del group[bisect.bisect_left(group, key)]
        if not group:
            del self._groups[wish.shape]
