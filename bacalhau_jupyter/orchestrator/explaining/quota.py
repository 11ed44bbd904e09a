"""What a quota says to a job, in words."""

from __future__ import annotations

from dataclasses import dataclass

from bacalhau_jupyter.models.records.explanation import NodeVerdict, Remedy, RemedyKind, Verdict
from bacalhau_jupyter.orchestrator.explaining.words import quoted
from bacalhau_jupyter.orchestrator.scheduler.allowance import YOURS
from bacalhau_jupyter.orchestrator.scheduler.plan import Situation

_WAIT = Remedy(kind=RemedyKind.WAIT, text="wait until one of them ends")


@dataclass(frozen=True)
class QuotaVerdict:
    """Why a job waits for others of the same principal, and what helps."""

    summary: str
    remedies: list[Remedy]


def judge_quota(
    situation: Situation, verdicts: list[NodeVerdict], reader: str, *, everywhere: bool
) -> QuotaVerdict | None:
    """Say why the quota has no room for the next execution of a job; None where it has, or no node would do anyway.

    Parameters
    ----------
    verdicts
        On the nodes, the best first.
    reader
        Who asks: his own quota is called so.
    everywhere
        Whether the job starts on all nodes that suit at once.
    """
    allowance = situation.allowance
    suitable = sum(verdict.verdict in (Verdict.ABLE, Verdict.FULL) for verdict in verdicts)
    if allowance is None or not suitable:
        return None
    obstacle = allowance.obstacle(situation.job.id, situation.request, suitable - 1 if everywhere else 0)
    if not obstacle:
        return None
    whose = YOURS if reader == allowance.principal else ""
    summary = allowance.sentence(obstacle, situation.request, whose)
    named = [share for share in allowance.shares if share.name]
    remedies = [_WAIT] if allowance.shares else []
    if obstacle == "jobs" and named:
        stop = f"stop {quoted(named[0].name)}"
        remedies.append(Remedy(kind=RemedyKind.STOP, text=stop, job_ids=[named[0].job_id]))
    return QuotaVerdict(summary, remedies)
