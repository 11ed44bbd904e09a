"""A devstack: one orchestrator and several compute nodes in one process, each with a directory of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.node.node import Node, running_node
from bacalhau_jupyter.node.roles.compute import Place

log = logging.getLogger(__name__)

END_TIMEOUT_S = 20.0
"""Seconds that what runs may take to stop at the end of a stack."""

_QUICK = {
    "Orchestrator.NodeManager.DisconnectTimeout": 30.0,
    "Compute.Heartbeat.Interval": 5.0,
    "Compute.Env.AllowList": ["TEST_*"],
}
"""What an official devstack has in place of the defaults."""


@dataclass(frozen=True)
class StackShape:
    """How many nodes of which kind.

    Attributes
    ----------
    bad
        How many of the compute nodes, from the last on, fail all that they run.
    """

    orchestrators: int = 1
    computes: int = 3
    hybrids: int = 0
    bad: int = 0

    def check(self) -> None:
        """Refuse what can't be.

        Raises
        ------
        BadRequest
            In one sentence.
        """
        if min(self.orchestrators, self.computes, self.hybrids, self.bad) < 0:
            raise BadRequest("a devstack can't have a negative number of nodes", component="Devstack")
        if not self.orchestrators + self.computes + self.hybrids:
            raise BadRequest("you cannot create a devstack with zero nodes", component="Devstack")
        if self.bad > self.computes + self.hybrids:
            raise BadRequest(
                f"you cannot have more bad compute actors ({self.bad}) than there are nodes "
                f"({self.computes + self.hybrids})",
                component="Devstack",
            )
        placing = self.orchestrators + self.hybrids
        if not placing:
            raise BadRequest(
                "cannot add compute node: no orchestrators found in the existing devstack",
                hint="leave out --orchestrators 0, or make the first node a hybrid: --hybrids 1",
                component="Devstack",
            )
        if placing > 1:
            raise BadRequest(
                f"a devstack has one node that places jobs, not {placing}",
                hint="two orchestrators would be two clusters; start two stacks for that. --orchestrators 0 "
                "--hybrids 1 --computes 3 is a hybrid with three compute nodes",
                component="Devstack",
            )

    @property
    def is_hybrid(self) -> bool:
        """Whether the node that places jobs runs some, too."""
        return bool(self.hybrids)

    def is_bad(self, index: int) -> bool:
        """Whether the node of this index (0: the first of all) fails what it runs."""
        total = self.orchestrators + self.hybrids + self.computes
        # Those that join later are good.
        return total - self.bad <= index < total


class Devstack:
    """A running stack. Made by `running_devstack`.

    Attributes
    ----------
    node
        The node that places jobs; its API is the stack's.
    """

    def __init__(self, config: Config, base: Path, shape: StackShape, clock: Clock) -> None:
        self.node: Node
        self._config = config
        self._base = base
        self._shape = shape
        self._clock = clock
        self._next = 1

    def first_config(self) -> Config:
        """Return the configuration of the node that places jobs."""
        return self._configured(
            name_of(0),
            {
                "DataDir": str(self._base / name_of(0)),
                "Orchestrator.Enabled": True,
                "Compute.Enabled": self._shape.is_hybrid,
                # Its nodes are all in this process; who wants others to join says so.
                "Orchestrator.Link": self._link(),
            },
        )

    def _link(self) -> str:
        is_set = self._config.source("Orchestrator.Link") != "default"
        return str(self._config["Orchestrator.Link"]) if is_set else "off"

    @property
    def heartbeat_s(self) -> float:
        """Seconds between the heartbeats of its nodes."""
        return float(self._configured(name_of(0), {})["Compute.Heartbeat.Interval"])

    def labels(self, node_id: str) -> dict[str, str]:
        """Return the labels of a node."""
        return {**self._config["Labels"], "id": node_id, "name": node_id, "env": "devstack"}

    def further(self) -> list[Place]:
        """Return the places of the compute nodes beside it."""
        return [self._new_place() for _ in range(self._shape.computes)]

    async def join(self) -> str:
        """Add a compute node; return its ID."""
        place = self._new_place()
        await self.node.halves.start([place])
        return place.node_id

    async def rejoin(self, node_id: str) -> None:
        """Start a compute node again that left."""
        await self.node.halves.start([self._place(node_id)])

    async def leave(self, node_id: str) -> None:
        """Stop a compute node, as if its process were asked to end; raises NotFound if there is none."""
        await self.node.halves.stop(node_id)

    async def end_jobs(self) -> None:
        """Stop all jobs, and wait until nothing of them runs; bounded."""
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await self.node.orchestrator.stop_all("the devstack ends")
                await self.node.halves.idle()
        except (TimeoutError, BacalhauError) as error:
            log.warning("not all jobs of the stack have ended: %s", str(error) or "they took too long")

    def _new_place(self) -> Place:
        node_id = name_of(self._next)
        self._next += 1
        return self._place(node_id)

    def _place(self, node_id: str) -> Place:
        directory = self._base / node_id / "compute"
        config = self._configured(node_id, {})
        return Place(
            node_id,
            config,
            directory,
            None if config["Node.Ephemeral"] else directory / "state.sqlite",
            Problems(self._clock),
            is_bad=self._shape.is_bad(int(node_id.rpartition("-")[2])),
        )

    def _configured(self, node_id: str, values: dict[str, Any]) -> Config:
        quick = {name: value for name, value in _QUICK.items() if self._config.source(name) == "default"}
        return self._config.replace({**quick, **values, "Labels": self.labels(node_id)})


def name_of(index: int) -> str:
    """Return the name of a node of the stack."""
    return f"node-{index}"


@asynccontextmanager
async def running_devstack(
    config: Config,
    base: Path,
    shape: StackShape,
    *,
    keep: bool = False,
    clock: Clock | None = None,
    processes: ProcessTable | None = None,
    telemetry: Telemetry = SILENT,
) -> AsyncIterator[Devstack]:
    """Run a stack on the current event loop for the duration.

    Parameters
    ----------
    config
        For every node; directories, roles and labels are set here.
    base
        The directory of the stack; each node has one in it.
    keep
        Whether the stack will go on from here another time: then what runs is left as it is at the end.
    processes, telemetry
        As for `node.node.running_node`.

    Raises
    ------
    BacalhauError
        The stack can't be, or not start; nothing is left running.
    """
    shape.check()
    clock = clock or SystemClock()
    stack = Devstack(config, base, shape, clock)
    async with running_node(
        stack.first_config(),
        name=name_of(0),
        clock=clock,
        processes=processes,
        telemetry=telemetry,
        further=stack.further(),
    ) as node:
        stack.node = node
        try:
            yield stack
        finally:
            if not keep:
                await stack.end_jobs()
