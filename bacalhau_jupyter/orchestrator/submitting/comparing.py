"""When two specs are the same job, and how they differ. Pure."""

from __future__ import annotations

import difflib
from typing import Any

import yaml

from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.jobs.job import RESERVED_META_PREFIX, Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, replace
from bacalhau_jupyter.models.records.uploads import parse_link, without_signature

UNNAMED = "Bacalhau"
"""The component that official servers name where they name none."""


def stored_namesake(job: Job) -> tuple[str, str]:
    """Return name and namespace by which a job to compare is found.

    Raises
    ------
    BadRequest
        The job has no name.
    """
    if not job.name:
        raise BadRequest(
            "invalid job spec: name is missing",
            hint="Job name must be provided in the job spec for diff operations",
            component=UNNAMED,
        )
    return job.name, job.namespace or "default"


def difference(old: Job | None, new: Job) -> str:
    """Return a unified diff of two specs as YAML; empty when they are equal.

    Raises
    ------
    NotFound
        The old job does not exist.
    """
    if old is None:
        raise NotFound(f"job name index not found: {new.name}:{new.namespace}")
    if comparable(old) == comparable(new):
        return ""
    before, after = (_yaml(job).splitlines() for job in (old, new))
    lines = difflib.unified_diff(before, after, f"version {old.version}", "new", lineterm="", n=3)
    return "\n".join(lines) + "\n"


def comparable(job: Job) -> dict[str, Any]:
    """Return what makes two specs different, with resources as they are compared."""
    job = _unsigned(normalize_job(job))
    meta = {key: value for key, value in job.meta.items() if not key.startswith(RESERVED_META_PREFIX)}
    plain: dict[str, Any] = to_plain(replace(job, meta=meta))
    for member in ("ID", "State", "Version", "Revision", "CreateTime", "ModifyTime", "Type"):
        plain.pop(member, None)
    return plain


def _unsigned(job: Job) -> Job:
    """Return a job whose links to a node's files have no signatures: each submission signs anew.

    Who serves a file counts, and what else is in the link: another server has another file at the same path.
    """

    def unsigned(item: InputSource) -> InputSource:
        url = item.source.param("URL")
        if parse_link(url) is None:
            return item
        plain = without_signature(str(url))
        params = {
            name: plain if name.lower() == "url" else value for name, value in item.source.params.items()
        }
        return replace(item, source=SpecConfig(type=item.source.type, params=params))

    tasks = [
        replace(task, input_sources=[unsigned(item) for item in task.input_sources]) for task in job.tasks
    ]
    return replace(job, tasks=tasks)


def _yaml(job: Job) -> str:
    return str(yaml.safe_dump(comparable(job), sort_keys=False, allow_unicode=True))
