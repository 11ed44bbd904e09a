"""What a principal may use of a node at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.units import format_bytes

OWNER_NAME = "owner"
"""The principal that has no quota: whoever runs the node can change its configuration."""


@dataclass(frozen=True)
class Quota:
    """The most that the jobs and uploads of one principal may use at a time; None is no limit.

    Attributes
    ----------
    jobs
        Jobs that run.
    cpu
        Cores.
    memory, uploads
        Bytes.
    gpu
        GPUs.
    """

    jobs: int | None = None
    cpu: float | None = None
    memory: int | None = None
    gpu: int | None = None
    uploads: int | None = None

    @property
    def limits_jobs(self) -> bool:
        """Whether it says anything about jobs."""
        return not (self.jobs is None and self.cpu is None and self.memory is None and self.gpu is None)

    def lacks(self, used: Resources, request: Resources) -> str:
        """Name the resource of which ``request`` does not fit beside what is used; empty when all of it fits."""
        for name, asked, taken, limit in (
            ("CPU", request.cpu, used.cpu, self.cpu),
            ("memory", request.memory, used.memory, self.memory),
            ("GPU", request.gpu, used.gpu, self.gpu),
        ):
            # What asks for nothing of a resource never waits for it, even where a quota was lowered.
            if limit is not None and asked and taken + asked > limit + 1e-9:
                return name
        return ""

    def amount(self, name: str) -> str:
        """Write the limit of a resource for people."""
        match name:
            case "CPU":
                return f"{self.cpu:g} CPU"
            case "memory":
                return f"{format_bytes(self.memory or 0)} of memory"
            case "GPU":
                return f"{self.gpu} GPU{'' if self.gpu == 1 else 's'}"
        return f"{self.jobs} running job{'' if self.jobs == 1 else 's'}"


@dataclass(frozen=True)
class Quotas:
    """The quota of each principal.

    Attributes
    ----------
    default
        For everybody who has none of his own.
    own
        By principal, such as ``user:ada``; names of users know no case, so all are kept in lower case.
    """

    default: Quota = Quota()
    own: Mapping[str, Quota] = field(default_factory=dict)

    @property
    def limit_jobs(self) -> bool:
        """Whether anybody's jobs are limited."""
        return self.default.limits_jobs or any(quota.limits_jobs for quota in self.own.values())

    def of(self, principal: str) -> Quota:
        """Return what a principal may use; the owner, and the node itself, have no limit."""
        if principal in ("", OWNER_NAME):
            return Quota()
        return self.own.get(principal.lower(), self.default)
