"""What a scheduler sees and what it decides, as plain data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.orchestrator.scheduler.allowance import Allowance
from bacalhau_jupyter.transport.base import Way

NAME = "name"
"""The label by which a constraint means one node."""
NEW_EXECUTIONS_LIMIT = 20
"""New executions (and, apart from them, stopped old ones) per evaluation; the rest follows in the next."""


@dataclass(frozen=True)
class NodeView:
    """A node as a scheduler sees it.

    Parameters
    ----------
    info
        Its own description.
    ready
        Approved and connected: may get executions.
    lost
        Its executions are given up. A node that is neither ready nor lost may come back.
    rejected
        It was rejected by a person.
    pending
        It waits for a person to approve it.
    freed_ns
        When (Unix nanoseconds) it last told of capacity that became free.
    since_ns
        When (Unix nanoseconds) it last connected.
    back_ns
        When (Unix nanoseconds) its machine last answered again after it had been away, or this one woke.
    way
        How messages get there.
    """

    info: NodeInfo
    ready: bool = True
    lost: bool = False
    rejected: bool = False
    pending: bool = False
    freed_ns: int = 0
    since_ns: int = 0
    back_ns: int = 0
    way: Way = field(default_factory=Way)

    @cached_property
    def id(self) -> str:
        """The node's ID."""
        return self.info.node_id

    @cached_property
    def labels(self) -> dict[str, str]:
        """Its labels; an official node, which has no name by itself, is called by its ID."""
        return {NAME: self.id, **self.info.labels}


@dataclass(frozen=True)
class Situation:
    """Everything a scheduler may look at.

    Parameters
    ----------
    job
        The current version.
    executions
        All of the current version, and those of older versions that still live; in the order they were made.
    nodes
        All known nodes. A node that is not among them is lost.
    used
        Node ID → what live executions of all jobs hold there.
    request
        What one execution of the job holds.
    submitted_ns
        When the current version was submitted.
    now_ns
        Unix time in nanoseconds.
    execution_grace_s
        Seconds an execution may take longer than its time-out.
    queue_unsuitable
        Whether the job waits, within its queue time-out, when no node will ever do.
    rng
        Breaks ties between nodes.
    allowance
        What the quota of whoever submitted the job leaves; None where there is no quota.
    spec_bytes
        Size of the job's spec in a message.
    address_problem
        Why a node of another machine can't fetch what the job needs from this one, or send its results; else empty.
    """

    job: Job
    executions: Sequence[Execution]
    nodes: Sequence[NodeView]
    used: Mapping[str, Resources]
    request: Resources
    submitted_ns: int
    now_ns: int
    execution_grace_s: float = 120.0
    queue_unsuitable: bool = False
    rng: random.Random = field(default_factory=random.Random)
    allowance: Allowance | None = None
    spec_bytes: int = 0
    address_problem: str = ""


@dataclass(frozen=True)
class Note:
    """An event to be: topic, words, details."""

    topic: str
    message: str
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlaceExecution:
    """Make an execution of a partition on a node; ``at_once`` it runs without a round of bidding."""

    node_id: str
    partition: int
    note: Note
    at_once: bool = False


@dataclass(frozen=True)
class Change:
    """Change an execution: what is wanted of it, and what is held to be true of it."""

    execution: Execution
    desired: DesiredStateType
    observed: ExecutionStateType
    message: str
    note: Note


@dataclass(frozen=True)
class JobChange:
    """Change the job's state; ``note`` None changes it without an event."""

    state: JobStateType
    message: str
    note: Note | None


@dataclass
class Plan:
    """What to do, in the order in which it becomes history.

    Parameters
    ----------
    steps
        Decisions in order.
    again
        There is more to do: evaluate once more at once.
    wakeup_ns
        When to look again though nothing happens; None: never.
    waits_for
        Nodes that would do for a waiting partition if they had room; None: nothing waits.
    claims
        What must become free of the principal's quota; None: nothing waits for that.
    """

    steps: list[PlaceExecution | Change | JobChange] = field(default_factory=list)
    again: bool = False
    wakeup_ns: int | None = None
    waits_for: frozenset[str] | None = None
    claims: Resources | None = None

    def wake_at(self, at_ns: int) -> None:
        """Look again at a time, or earlier."""
        self.wakeup_ns = at_ns if self.wakeup_ns is None else min(self.wakeup_ns, at_ns)
