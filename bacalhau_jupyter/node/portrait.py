"""What a node tells of itself: its description, facts for those who look for a fault, and whether it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import DiskUsage, NodeInfo, NodeType
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.roles.facts import role_facts
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.node.roles.orchestrator import OrchestratorHalf
from bacalhau_jupyter.node.version import build_version


class Portrait:
    """Looks at the roles of a node each time that somebody asks.

    Parameters
    ----------
    halves
        What runs jobs.
    placing
        Returns what places jobs; None until it runs, and where the node only runs them.
    """

    def __init__(
        self,
        config: Config,
        node_id: str,
        *,
        halves: Halves,
        placing: Callable[[], OrchestratorHalf | None],
        problems: Problems,
    ) -> None:
        self._config = config
        self._placing = placing
        self._node_id = node_id
        self._halves = halves
        self._problems = problems

    def info(self) -> NodeInfo:
        """Describe the node: as compute node where it is one."""
        compute = self._halves.nodes().get(self._node_id)
        if compute is not None:
            return replace(compute.info(), **self._usages())
        return NodeInfo(
            node_id=self._node_id,
            node_type=NodeType.REQUESTER,
            labels=self._config["Labels"],
            bacalhau_version=build_version(),
            features=settings.features(self._config),
            jupyter_version=__version__,
            uploads=self._uploads_usage(),
        )

    def debug(self) -> dict[str, Any]:
        """Facts of the roles, by component."""
        facts: dict[str, Any] = {
            "Plugins": self._halves.plugin_problems(),
            "Problems": [problem.to_plain() for problem in self._problems.every()],
        }
        facts |= role_facts(self._node_id, self._halves.nodes())
        if (placing := self._placing()) is not None:
            facts["Link"] = to_plain(placing.link.status())
            facts["ReceivedResults"] = to_plain(placing.received.usage())
        runs_jobs = self._node_id in self._halves.nodes()
        if runs_jobs and (uploads := self._uploads_usage()) is not None:
            facts["Uploads"] = to_plain(uploads)
        if (usage := self._packages_usage()) is not None:
            facts.setdefault("Storage", {})["Packages"] = to_plain(usage)
        return facts

    async def active_jobs(self, joined_clusters: int) -> int:
        """Return how many jobs, or where others place them how many executions, keep this node needed."""
        if joined_clusters:
            # Whoever joined a cluster means to stay in it.
            return joined_clusters
        placing = self._placing()
        if placing is None:
            return sum(len(node.live()) for node in self._halves.nodes().values())
        # Whoever joins an open cluster counts on it.
        is_open = placing.link.plan is not None
        return int(is_open) or await placing.orchestrator.active_jobs()

    def _usages(self) -> dict[str, DiskUsage | None]:
        return {
            "uploads": self._uploads_usage(),
            "packages": self._packages_usage(),
            "images": self._halves.images.usage(),
        }

    def _uploads_usage(self) -> DiskUsage | None:
        placing = self._placing()
        return None if placing is None else placing.uploads.store.usage()

    def _packages_usage(self) -> DiskUsage | None:
        return None if self._halves.packages is None else self._halves.packages.usage()
