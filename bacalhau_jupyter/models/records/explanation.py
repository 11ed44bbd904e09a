"""Why a job waits, or why it ran where it did, as our API answers it (an addition of ours)."""

from __future__ import annotations

import enum

from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.outcome import Outcome

FEATURE = "explain"
"""A node that lists this feature explains jobs."""


class Verdict(enum.StrEnum):
    """What a node is for a job, the best first."""

    RUNS = "runs it"
    RAN = "ran it"
    ABLE = "can take it"
    FULL = "full"
    AWAY = "away"
    UNABLE = "unable"


class Shortage(Wire):
    """A resource of which a node has too little left: CPU in cores, memory and disk in bytes, GPU as a count.

    Attributes
    ----------
    free
        What no job holds.
    total
        What the node has.
    """

    resource: str = always("")
    asked: int | float = always(0)
    free: int | float = always(0)
    total: int | float = always(0)


class Holder(Wire):
    """A job that holds what is short on a node, or several that the caller may not see (``job_id`` is empty)."""

    job_id: str = ""
    name: str = ""
    count: int = always(1)
    resources: Resources = always(Resources())


class RemedyKind(enum.StrEnum):
    """What a remedy changes."""

    STOP = "stop"
    ASK_LESS = "ask less"
    CONSTRAINT = "constraint"
    ENGINE = "engine"
    NODE = "node"
    WAIT = "wait"
    RERUN = "run again"


class Remedy(Wire):
    """Something that would make the job run.

    Attributes
    ----------
    text
        For people, as an order: "stop `hog`".
    job_ids
        The jobs to stop.
    resources
        What to ask for instead.
    """

    kind: RemedyKind = always(RemedyKind.WAIT)
    text: str = always("")
    job_ids: list[str] = always([], name="JobIDs")
    resources: Resources | None = None


class NodeVerdict(Wire):
    """What one node is for the job, and why.

    Attributes
    ----------
    rank
        1 for the node that is asked first; 0 for a node that can't take the job now.
    software
        What the node runs, with its version: ``bacalhau-jupyter 0.1.0``, ``official v1.9.3``.
    link
        How messages get to it: ``memory``, ``nats``; empty where that is not known.
    """

    node_id: str = always("")
    verdict: Verdict = always(Verdict.UNABLE)
    rank: int = always(0)
    reason: str = always("")
    shortages: list[Shortage] = []
    holders: list[Holder] = []
    remedies: list[Remedy] = []
    software: str = ""
    link: str = ""


class Explanation(Wire):
    """Why a job does not run, or how it came to run where it did.

    Attributes
    ----------
    state
        The official word.
    summary
        One sentence for people, without the job's name.
    nodes
        Every node, the most suitable first.
    remedies
        What would make the job run, the simplest first.
    """

    job_id: str = always("")
    name: str = always("")
    state: str = always("")
    outcome: Outcome = always(Outcome.WAITING)
    summary: str = always("")
    nodes: list[NodeVerdict] = always([])
    remedies: list[Remedy] = always([])
