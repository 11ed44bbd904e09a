"""Offers this machine to further clusters, each by a compute half with an ID of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.lib import ids
from bacalhau_jupyter.lib.nearby import is_own_address
from bacalhau_jupyter.lib.problems import Problems, sentence
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import (
    BadRequest,
    ConfigurationError,
    Conflict,
    NotFound,
)
from bacalhau_jupyter.models.records.cluster import JoinedCluster, LinkStatus
from bacalhau_jupyter.models.records.joining import JoinCluster, JoinedClusters
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere, addressed
from bacalhau_jupyter.node.joining.kept import KeptCluster, KeptClusters
from bacalhau_jupyter.node.roles.compute import Place
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.transport.node_ids import problem_of

log = logging.getLogger(__name__)

COMPONENT = "Cluster"
END_S = 15.0
"""Seconds that executions may take to stop when a cluster is left."""

PlaceOf = Callable[[str, Elsewhere], Place]
"""Returns where the half of a node ID lies, for an orchestrator elsewhere."""


class Joining:
    """Joins clusters, leaves them, and joins them again after a restart.

    Parameters
    ----------
    kept
        What the repo knows of them.
    halves
        The compute halves of this process.
    place_of
        Says where a further half lies.
    problems
        Where a cluster is shown that can't be joined again after a restart.
    own_address
        Returns the URL of the node's own cluster; empty while that is closed.
    """

    def __init__(
        self,
        kept: KeptClusters,
        halves: Halves,
        place_of: PlaceOf,
        problems: Problems,
        own_address: Callable[[], str] = lambda: "",
    ) -> None:
        self._kept = kept
        self._halves = halves
        self._place_of = place_of
        self._problems = problems
        self._own_address = own_address
        self._troubles: dict[str, str] = {}
        self._retrying: dict[str, asyncio.Task[None]] = {}
        self._joined: dict[str, KeptCluster] = {}
        self._changing = asyncio.Lock()

    def __len__(self) -> int:
        """How many clusters this machine is offered to, beside the node's own."""
        return len(self._joined)

    async def resume(self) -> None:
        """Join again what was joined before; what does not work is told and tried again, and hinders nothing else."""
        try:
            clusters = await asyncio.to_thread(self._kept.read)
        except ConfigurationError as error:
            log.error("%s", error)
            return
        for cluster in clusters:
            if cluster.is_left:
                # Results of that time are still served.
                self._halves.remember(cluster.node_id, self._data_dir(cluster))
                continue
            self._joined[cluster.url] = cluster
            try:
                await self._start(cluster)
            except Exception as error:
                self._fell(cluster, error)
                task = _task_for(cluster)
                self._problems.failed(task, error)
                attempts = self._problems.keep(task, partial(self._retry, cluster))
                self._retrying[cluster.url] = asyncio.create_task(attempts, name=task)

    async def close(self) -> None:
        """Try no more."""
        for url in list(self._retrying):
            await self._end_retrying(url)

    async def join(self, order: JoinCluster) -> JoinedCluster:
        """Offer this machine to another cluster, now and after each restart.

        Raises
        ------
        BacalhauError
            Its orchestrator can't be reached, or refuses; then nothing has changed.
        """
        async with self._changing:
            cluster = await asyncio.to_thread(self._planned, order)
            node = await self._start(cluster)
            try:
                if not node.joined:
                    # It is the caller who named the address: this node itself is well.
                    raise BadRequest(
                        f"this machine can't join {cluster.url}: {node.problem or 'no answer yet'}",
                        hint=_next(cluster),
                        component=COMPONENT,
                    )
                await asyncio.to_thread(self._kept.put, cluster)
            except BaseException:
                await self._halves.stop(cluster.node_id)
                await asyncio.to_thread(self._clear, cluster)
                raise
            self._joined[cluster.url] = cluster
            return self._state(cluster)

    async def leave(self, url: str) -> JoinedCluster:
        """Stop what runs for a cluster, and take nothing more of it.

        Raises
        ------
        NotFound
            This machine is not offered to it.
        """
        async with self._changing:
            cluster = self._joined.get(addressed(url))
            if cluster is None:
                raise NotFound(
                    f"this machine is not offered to a cluster at {url[:200]}",
                    hint=_known(self._joined),
                    component=COMPONENT,
                )
            state = self._state(cluster)
            left = KeptCluster(cluster.url, cluster.node_id, is_left=True)
            await asyncio.to_thread(self._kept.put, left)
            await self._end_retrying(cluster.url)
            del self._joined[cluster.url]
            node = self._halves.nodes().get(cluster.node_id)
            if node is not None:
                await node.end_all(END_S)
                await self._halves.stop(cluster.node_id)
            return state

    def states(self) -> JoinedClusters:
        """Return how the way to each cluster is."""
        return JoinedClusters(items=[self._state(each) for each in self._joined.values()])

    def _planned(self, order: JoinCluster) -> KeptCluster:
        url = addressed(order.url)
        if url in self._joined:
            raise Conflict(
                f"this machine is offered to {url} already",
                hint=f"cluster leave {url} takes it back",
                component=COMPONENT,
            )
        if _same_place(url, self._own_address()):
            raise BadRequest(
                f"{url} is the node's own cluster, whose jobs it runs already",
                hint="to offer another machine to it, run this there; for a second node of this machine, run it "
                "with another --data-dir",
                component=COMPONENT,
            )
        before = next((each for each in self._kept.read() if each.url == url), None)
        node_id = order.name or (ids.node_id() if before is None else before.node_id)
        if problem := problem_of(node_id):
            raise BadRequest(problem, hint="letters, digits, - and _ are fine", component=COMPONENT)
        if node_id in self._halves.nodes():
            raise Conflict(
                f"a node of this machine is called {node_id} already",
                hint="choose another --name",
                component=COMPONENT,
            )
        cluster = KeptCluster(url, node_id, order.token, order.authority)
        try:
            self._kept.elsewhere(cluster)
        except ConfigurationError as error:
            # What a caller asked for is no fault of the node.
            raise BadRequest(error.message, hint=error.hint, component=COMPONENT) from error
        return cluster

    async def _start(self, cluster: KeptCluster) -> ComputeNode:
        there = await asyncio.to_thread(self._kept.elsewhere, cluster)
        await self._halves.start([self._place_of(cluster.node_id, there)])
        return self._halves.nodes()[cluster.node_id]

    async def _retry(self, cluster: KeptCluster) -> None:
        try:
            await self._start(cluster)
        except Exception as error:
            self._fell(cluster, error)
            raise

    def _fell(self, cluster: KeptCluster, error: Exception) -> None:
        self._troubles[cluster.url] = f"{sentence(error)}; the node tries again, at least once a minute"

    async def _end_retrying(self, url: str) -> None:
        if (task := self._retrying.pop(url, None)) is not None:
            task.cancel()
            await asyncio.wait([task])
            self._problems.clear(task.get_name())

    def _clear(self, cluster: KeptCluster) -> None:
        """Remove what an attempt left; a cluster that was joined before keeps its results."""
        if all(each.url != cluster.url for each in self._kept.read()):
            remove_tree(self._data_dir(cluster))
            self._kept.forget_authority(cluster)

    def _data_dir(self, cluster: KeptCluster) -> Path:
        return self._place_of(cluster.node_id, Elsewhere((cluster.url,))).data_dir

    def _state(self, cluster: KeptCluster) -> JoinedCluster:
        node = self._halves.nodes().get(cluster.node_id)
        if node is None:
            away = LinkStatus(reason=self._troubles.get(cluster.url, ""), place=cluster.url)
            return JoinedCluster(url=cluster.url, node_id=cluster.node_id, link=away)
        link = node.link
        return JoinedCluster(
            url=cluster.url,
            node_id=cluster.node_id,
            is_joined=node.joined,
            link=LinkStatus(
                is_up=link.is_up,
                # The link may be up, and the orchestrator behind it away.
                reason=link.reason or node.problem,
                since=rfc3339(link.since_ns),
                place=cluster.url,
            ),
            executions=len(node.live()),
        )


def _task_for(cluster: KeptCluster) -> str:
    return f"offering this machine to {cluster.url}"


def _next(cluster: KeptCluster) -> str:
    if not cluster.token:
        return "nothing has changed; where that cluster asks for a token, name its file: --token-file FILE"
    return "nothing has changed; check the address, the token file, and --ca-file for TLS"


def _same_place(url: str, own: str) -> bool:
    """Whether an address is that of the node's own cluster; names of this machine are not resolved."""
    try:
        here, there = urlsplit(own), urlsplit(url)
        return (
            bool(own) and here.port == there.port and (here.hostname == there.hostname or is_own_address(url))
        )
    except ValueError:
        return False


def _known(urls: Iterable[str]) -> str:
    return (
        f"it is offered to {', '.join(urls)}" if urls else "it is offered to none; `cluster show` lists them"
    )
