"""What the quota of whoever submitted a job leaves for it, and the words for "nothing"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.quotas import Quota
from bacalhau_jupyter.models.text import readable

YOURS = "your"
_NAMED = 3


@dataclass(frozen=True)
class Share:
    """What one running job of a principal uses.

    Attributes
    ----------
    name
        What people call the job; empty where it is not to be named.
    """

    job_id: str
    name: str
    resources: Resources


@dataclass(frozen=True)
class Allowance:
    """A principal's quota and what its running jobs use, the job at hand among them.

    Attributes
    ----------
    shares
        The oldest job first.
    """

    principal: str
    quota: Quota
    shares: Sequence[Share] = ()

    @property
    def used(self) -> Resources:
        """What all of them use."""
        return sum((share.resources for share in self.shares), Resources())

    def obstacle(self, job_id: str, request: Resources, placed: int = 0) -> str:
        """Name what keeps an execution from starting: ``jobs``, ``CPU``, ``memory`` or ``GPU``; empty if nothing does.

        Parameters
        ----------
        request
            What the execution uses.
        placed
            How many executions alike start with it.
        """
        if self._lacks_place(job_id):
            return "jobs"
        return self.quota.lacks(self.used, times(request, placed + 1))

    def left_out(self, request: Resources, count: int = 1) -> str:
        """Name what ``count`` executions ask for beyond the quota as such, whatever runs; empty if they fit."""
        if self.quota.jobs == 0:
            return "jobs"
        return self.quota.lacks(Resources(), times(request, count))

    def sentence(self, obstacle: str, request: Resources, whose: str = "") -> str:
        """Say what uses the quota: ``user:ada's quota of 2 running jobs is used by job-a and job-b``."""
        owner = whose or f"{readable(self.principal)}'s"
        amount = self.quota.amount(obstacle)
        shares = [share for share in self.shares if obstacle == "jobs" or _part(share.resources, obstacle)]
        if not shares:
            return f"{owner} quota is {amount}"
        words = f"{owner} quota of {amount} is used by {_listed(shares, obstacle)}"
        if obstacle == "jobs":
            return words
        return f"{words}; the job asks for {_amount(request, obstacle)}"

    def _lacks_place(self, job_id: str) -> bool:
        limit = self.quota.jobs
        if limit is None or any(share.job_id == job_id for share in self.shares):
            return False
        return len(self.shares) >= limit


def times(request: Resources, count: int) -> Resources:
    """Return what several executions use together."""
    return Resources(
        cpu=round(request.cpu * count, 6),
        memory=request.memory * count,
        disk=request.disk * count,
        gpu=request.gpu * count,
    )


def too_large(allowance: Allowance, obstacle: str, request: Resources, count: int = 1) -> str:
    """Say that a job asks for more than the quota as such."""
    owner = readable(allowance.principal)
    if obstacle == "jobs":
        return f"the quota of {owner} allows no jobs"
    asked = _amount(times(request, count), obstacle)
    where = "" if count == 1 else f" on {count} nodes"
    return f"the job asks for {asked}{where}, and the quota of {owner} is {allowance.quota.amount(obstacle)}"


def _listed(shares: Sequence[Share], obstacle: str) -> str:
    named = [share for share in shares if share.name][:_NAMED]
    words = [
        _name(share.name)
        + ("" if obstacle == "jobs" else f" ({_amount(share.resources, obstacle, bare=True)})")
        for share in named
    ]
    rest = len(shares) - len(named)
    if rest:
        words.append(f"{rest} {'more' if named else 'job' if rest == 1 else 'jobs'}")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _name(name: str) -> str:
    text = readable(name)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _part(resources: Resources, obstacle: str) -> float:
    return {"CPU": resources.cpu, "memory": resources.memory, "GPU": resources.gpu}[obstacle]


def _amount(resources: Resources, obstacle: str, *, bare: bool = False) -> str:
    value = _part(resources, obstacle)
    if obstacle == "memory":
        return format_bytes(int(value)) + ("" if bare else " of memory")
    return f"{value:g}" + ("" if bare else f" {obstacle}{'s' if obstacle == 'GPU' and value != 1 else ''}")
