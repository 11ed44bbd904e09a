"""What exists while a compute node runs, made of its equipment and wired together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bacalhau_jupyter.compute.bidder import Bidder
from bacalhau_jupyter.compute.description import describe
from bacalhau_jupyter.compute.disk import DiskRoom
from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.live.executions import Executions
from bacalhau_jupyter.compute.execution.live.listener import ExecutionListener
from bacalhau_jupyter.compute.execution.progress import ProgressBoard
from bacalhau_jupyter.compute.execution.record import ExecutionRecord
from bacalhau_jupyter.compute.execution.runner import Runner
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.compute.housekeeping import Housekeeping
from bacalhau_jupyter.compute.link.connection import OrchestratorLink
from bacalhau_jupyter.compute.output.logs import LogFollower
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.plugins.link import HostLink, HostStatus


class Parts:
    """The parts of a running node.

    Parameters
    ----------
    equipment
        What they share.
    capacity
        What may be used and what is free.
    database
        For its reserve of disk space.

    Attributes
    ----------
    board
        How far live executions are.
    connection
        The link to the orchestrator.
    executions
        The executions at work.
    logs
        Followers of output.
    disk
        Room on the disk.
    housekeeping
        What removes old things.
    """

    def __init__(self, equipment: Equipment, capacity: Capacity, database: Database) -> None:
        self._equipment = equipment
        self.capacity = capacity
        self.board = ProgressBoard(equipment.clock)
        self.connection = OrchestratorLink(equipment, self.info, lambda: capacity.available)
        capacity.changed_elsewhere = self.connection.capacity_changed
        bidder = Bidder(
            equipment.settings,
            equipment.plugins,
            capacity,
            lambda: self.disk.ensure(),
            lambda: equipment.survey.reason(equipment.plugins),
            equipment.survey.found_full,
        )
        runner = Runner(equipment, bidder, self.board)
        listener = ExecutionListener(
            reported=self.connection.wake_outbox,
            capacity_changed=self.connection.capacity_changed,
            ended=lambda execution_id: self.logs.wake(execution_id),
            noted=self.connection.note,
        )
        self.executions = Executions(equipment, runner, capacity, self.board, listener)
        self.logs = LogFollower(equipment.places, self.lookup)
        self.disk = DiskRoom(equipment, self.executions, database)
        self.housekeeping = Housekeeping(equipment, self.executions)
        self._unwatch: list[Callable[[], None]] = []

    def follow_links(self) -> None:
        """Tell executions of the ways to the machines that they run on, until `leave_links`."""
        for link in self._equipment.plugins.links():
            heard = partial(self._link_changed, link)
            self._unwatch.append(link.watch(heard))
            heard(link.status)

    def leave_links(self) -> None:
        """Hear no more of them."""
        while self._unwatch:
            self._unwatch.pop()()

    def plugins_changed(self) -> None:
        """Tell the orchestrator which plug-ins work now; one that was away may hold something of old executions."""
        self.connection.info_changed()
        self.housekeeping.soon()

    def _link_changed(self, link: HostLink, status: HostStatus) -> None:
        self.executions.link_changed(link, status)

    def info(self) -> NodeInfo:
        """Describe the node as it is now."""
        return describe(self._equipment, self.capacity, self.executions.live())

    async def lookup(self, execution_id: str) -> ExecutionRecord | None:
        """Return an execution, live or ended; None when it is unknown or forgotten."""
        return self.executions.record(execution_id) or await self._equipment.store.get(execution_id)
