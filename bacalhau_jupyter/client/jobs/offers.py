"""Whether any node of a cluster can run a job: asked before it is sent where the cluster itself tells it too late.

A node of ours refuses such a job with each node's reason. An official one accepts it, and lets it fail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.models.errors import Forbidden, NotImplementedHere
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.node import NodeConnection, NodeState, for_people
from bacalhau_jupyter.models.text import readable

COMPONENT = "Client"

_ENGINES, _PUBLISHERS, _SOURCES = "engine", "publisher", "source"
_SENTENCES = {
    _ENGINES: ("runs {} jobs", "name another engine: docker IMAGE, or --image IMAGE, runs it in a container"),
    _PUBLISHERS: ("publishes to {}", "name another publisher: -p local keeps results on the node"),
    _SOURCES: ("reads inputs from {}", "bring the data another way"),
}
_WAYS = {
    "urldownload": "from https://",
    "s3": "from s3://",
    "ipfs": "from ipfs://",
    "inline": "as a path of this machine (-i PATH)",
}
"""How data gets to a job where a source is there."""


@dataclass
class Offers:
    """What the nodes of one cluster offered when they were last asked."""

    _known: dict[str, set[str]] = field(default_factory=dict)

    async def check(self, api: AsyncAPI, job: Job) -> None:
        """Refuse a job that no node can run. Nodes are asked again only where the last answer speaks against it.

        Raises
        ------
        NotImplementedHere
            No connected node has an engine, a publisher or a source that the job needs.
        """
        if not self._missing(job):
            return
        try:
            nodes = (await api.nodes()).nodes
        except Forbidden:
            # Who may not see the nodes hears it from the cluster.
            return
        self._known = offers_of(nodes)
        missing = self._missing(job)
        if missing is None or not self._known.get(_ENGINES):
            return
        kind, name = missing
        words, instead = _SENTENCES[kind]
        others = ", ".join(map(readable, for_people(self._known[kind])))
        raise NotImplementedHere(
            f"no node of this cluster {words.format(readable(name))}, only {others}",
            hint=_with_ways(instead, self._known[kind]) if kind == _SOURCES else instead,
            component=COMPONENT,
        )

    def _missing(self, job: Job) -> tuple[str, str] | None:
        """Return what the job needs first of what is not known to be there."""
        return next(
            ((kind, name) for kind, name in _needs(job) if name.lower() not in self._known.get(kind, ())),
            None,
        )


def offers_of(nodes: Iterable[NodeState]) -> dict[str, set[str]]:
    """Return the engines, publishers and sources of the connected nodes, in lower case."""
    known: dict[str, set[str]] = {_ENGINES: set(), _PUBLISHERS: set(), _SOURCES: set()}
    for node in nodes:
        if node.connection is not NodeConnection.CONNECTED:
            continue
        info = node.info.compute_node_info
        known[_ENGINES].update(name.lower() for name in info.execution_engines or [])
        known[_PUBLISHERS].update(name.lower() for name in info.publishers or [])
        known[_SOURCES].update(name.lower() for name in info.storage_sources or [])
    return known


def _with_ways(advice: str, sources: set[str]) -> str:
    """Name what the sources of a cluster allow."""
    ways = [words for name, words in _WAYS.items() if name in sources]
    return f"{advice}: {', or '.join(ways)}" if ways else "no node of this cluster takes inputs"


def _needs(job: Job) -> Iterable[tuple[str, str]]:
    for task in job.tasks:
        yield _ENGINES, task.engine.type
        if task.publisher.type:
            yield _PUBLISHERS, task.publisher.type
        for item in task.input_sources:
            yield _SOURCES, item.source.type
