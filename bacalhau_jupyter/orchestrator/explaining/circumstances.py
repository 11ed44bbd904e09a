"""What an explanation is derived from, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.orchestrator.scheduler.plan import Situation


@dataclass(frozen=True)
class Held:
    """What one job holds on one node.

    Parameters
    ----------
    job_id, name
        Which job; both are empty where the caller may not see it.
    resources
        What its live executions hold there together.
    """

    job_id: str
    name: str
    resources: Resources

    @property
    def is_shown(self) -> bool:
        """Whether the caller may see the job."""
        return bool(self.job_id)


@dataclass(frozen=True)
class Ahead:
    """Waiting jobs that go first.

    Parameters
    ----------
    count
        How many there are.
    names
        The first ones of those that the caller may see.
    """

    count: int = 0
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Circumstances:
    """Everything that an explanation may look at.

    Parameters
    ----------
    situation
        What the scheduler would see now.
    states
        Node ID → the node as the orchestrator keeps it.
    held
        Node ID → what each job holds there.
    ahead
        The waiting jobs that go first.
    candidates
        Execution ID → how many nodes could take it when it was placed, such as ``2 of 3``.
    """

    situation: Situation
    states: Mapping[str, NodeState] = field(default_factory=dict)
    held: Mapping[str, Sequence[Held]] = field(default_factory=dict)
    candidates: Mapping[str, str] = field(default_factory=dict)
    ahead: Ahead = field(default_factory=Ahead)

    @property
    def executions(self) -> list[Execution]:
        """The executions of the job's current version."""
        version = self.situation.job.version
        return [item for item in self.situation.executions if item.job_version == version]
