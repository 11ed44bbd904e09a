"""What users do to jobs: submit, update, run again, stop, compare. Pure, except for the given transaction."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.ids import IdSource, job_id
from bacalhau_jupyter.models.codec import encode, to_plain
from bacalhau_jupyter.models.errors import (
    BadRequest,
    Conflict,
    NotFound,
    ValidationError,
)
from bacalhau_jupyter.models.jobs.job import (
    META_ORCHESTRATOR_ID,
    META_REQUESTER_ID,
    META_SERVER_INSTALLATION,
    META_SERVER_INSTANCE,
    RESERVED_META_PREFIX,
    Job,
    JobState,
    JobStateType,
    JobType,
)
from bacalhau_jupyter.models.jobs.normalize import normalize_job, sanitize_submission
from bacalhau_jupyter.models.jobs.spec import InputSource, ResourcesConfig, SpecConfig, Task, replace
from bacalhau_jupyter.models.jobs.units import clean
from bacalhau_jupyter.models.jobs.validate import validate_stored, validate_submission
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.models.records.uploads import parse_link, without_signature
from bacalhau_jupyter.orchestrator.peers.offers import too_large
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import jobs
from bacalhau_jupyter.orchestrator.store.transaction import Transaction

UNNAMED = "Bacalhau"
"""The component that official servers name where they name none."""

COUNT_LIMIT = 10_000
"""Most partitions of a job: each evaluation looks at all of them."""
TASK_LIMIT = 100
"""Most tasks of a spec. Only the first is run, with a warning; a spec of thousands is a mistake or an attack."""


def prepare(
    job: Job | None, settings: OrchestratorSettings, client: Mapping[str, str] | None, ids: IdSource
) -> tuple[Job, list[str]]:
    """Bring a submitted job into the form that is stored.

    Returns
    -------
    tuple
        The job, with an ID, and the warnings for the client.

    Raises
    ------
    BacalhauError
        The job breaks a rule.
    """
    if job is not None and len(job.tasks) > TASK_LIMIT:
        raise ValidationError(
            f"the job has {len(job.tasks)} tasks; only one is supported per job",
            code="InternalError",
            component="APIServer",
        )
    validate_submission(job)
    assert job is not None  # said by the line above
    if (job.count or 0) > COUNT_LIMIT:
        raise ValidationError(
            f"job count must be <= {COUNT_LIMIT} on this node",
            code="InternalError",
            component="APIServer",
            hint="Split the work into several jobs, or give each partition more to do.",
        )
    job, warnings = sanitize_submission(normalize_job(job))
    identifier = job.id or job_id(ids)
    meta = {
        **job.meta,
        META_ORCHESTRATOR_ID: settings.node_id,
        META_REQUESTER_ID: settings.node_id,
        **(client or {}),
    }
    if settings.installation_id:
        meta[META_SERVER_INSTALLATION] = settings.installation_id
    if settings.instance_id:
        meta[META_SERVER_INSTANCE] = settings.instance_id
    job = replace(
        job,
        id=identifier,
        name=job.name or identifier,
        meta=meta,
        version=1,
        revision=1,
        state=JobState(state_type=JobStateType.PENDING),
    )
    job = _with_defaults(job, settings.job_defaults)
    try:
        validate_stored(job)
    except BadRequest as error:
        error.component = "JobStore"
        raise
    return job, warnings


def submit(transaction: Transaction, job: Job, force: bool) -> Job:
    """Store a prepared job: a new one, or the next version of the one that has its name."""
    old = None
    if job.name != job.id:
        old = jobs.by_name(transaction.connection, job.namespace, job.name)
    elif job.is_long_running:
        old = jobs.get(transaction.connection, job.id)
    if old is not None:
        return _update(transaction, old, job, force)
    job = replace(job, create_time=transaction.now_ns, modify_time=transaction.now_ns)
    transaction.add_job(job)
    transaction.record(job, transaction.request(Topic.SUBMISSION, "Job submitted"))
    transaction.evaluate(job)
    return job


def check_size(job: Job, limits: Sequence[int | None]) -> None:
    """Check that a spec fits into one message to at least one node, whose links have these payload limits.

    Raises
    ------
    BadRequest
        It does not.
    """
    size = len(encode(job))
    most = too_large(size, limits)
    if most is not None:
        raise BadRequest(
            f"the job's spec has {size:,} bytes, and the links to this cluster's nodes carry {most:,}",
            hint="Keep what is large out of the spec: upload it, or name it as an input from S3, IPFS or a URL.",
            component="APIServer",
        )


LinkRenewal = Callable[[Job, bool], Job]
"""Returns a job whose links to this node live long enough, the flag says whether it was accepted before; may block."""


def unchanged(job: Job, again: bool) -> Job:
    """Leave a job's links as they are (a `LinkRenewal`)."""
    return job


def has_links(job: Job) -> bool:
    """Whether an input of a job is a link to a file of some node of ours."""
    return any(parse_link(item.source.param("URL")) for task in job.tasks for item in task.input_sources)


def rerun(
    transaction: Transaction,
    reference: str,
    namespace: str,
    version: int,
    renewed: Job | None = None,
) -> Job:
    """Make the next version of a job, with the spec of one of its versions (0: the latest).

    Parameters
    ----------
    renewed
        That version with links that live long enough; None where it has none.
    """
    connection = transaction.connection
    old = jobs.version(connection, jobs.resolve(connection, reference, namespace), 0)
    spec = jobs.version(connection, old.id, version)
    state = old.state.state_type
    if state in (JobStateType.UNDEFINED, JobStateType.PENDING, JobStateType.QUEUED):
        raise Conflict(
            f"cannot rerun job in state {state.value}",
            hint="try to use the job run command instead of the job rerun command",
            code="",
            component=UNNAMED,
        )
    if renewed is not None and renewed.version == spec.version:
        spec = renewed
    job = _next_version(transaction, old, spec, "job rerun")
    event = transaction.request(Topic.SUBMISSION, "Job rerun requested", {"Reason": "job rerun"})
    transaction.record(job, event)
    return job


def stop(transaction: Transaction, reference: str, namespace: str, reason: str) -> Job | None:
    """Stop a job; None if it was stopped already."""
    connection = transaction.connection
    job = jobs.version(connection, jobs.resolve(connection, reference, namespace), 0)
    match job.state.state_type:
        case JobStateType.STOPPED:
            return None
        case JobStateType.COMPLETED:
            raise Conflict("cannot stop job in state Completed", code="", component=UNNAMED)
        case JobStateType.FAILED:
            raise Conflict(
                f"job {job.id} is in terminal state Failed and cannot transition to Stopped",
                code="ConflictJobState",
            )
        case _:
            job = transaction.set_state(job, JobState(state_type=JobStateType.STOPPED, message=reason))
            details = {"Reason": reason} if reason else {}
            event = transaction.request(Topic.SCHEDULING, "Job requested to stop before completion", details)
            transaction.record(job, event)
            transaction.evaluate(job)
            return job


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
    if _comparable(old) == _comparable(new):
        return ""
    before, after = (_yaml(job).splitlines() for job in (old, new))
    lines = difflib.unified_diff(before, after, f"version {old.version}", "new", lineterm="", n=3)
    return "\n".join(lines) + "\n"


def _update(transaction: Transaction, old: Job, job: Job, force: bool) -> Job:
    if old.type != job.type:
        raise BadRequest(
            f"job {old.name!r} is {_a(old.type)} job and can't become {_a(job.type)} job",
            hint="Use another name, or stop the job and use a new name.",
        )
    if not force and _comparable(old) == _comparable(job):
        raise Conflict(
            f"no changes detected for new job spec. Job Name: '{old.name}', Job Id: '{old.id}'",
            hint="Use the --force flag to override this warning",
            code="",
            component=UNNAMED,
        )
    job = _next_version(transaction, old, job, "Job update requested by user")
    transaction.record(job, transaction.request(Topic.SUBMISSION, "Job updated"))
    return job


def _next_version(transaction: Transaction, old: Job, spec: Job, message: str) -> Job:
    job = replace(
        old,
        priority=spec.priority,
        count=spec.count,
        constraints=spec.constraints,
        meta=spec.meta,
        labels=spec.labels,
        tasks=spec.tasks,
        state=JobState(state_type=JobStateType.PENDING, message=message),
        version=old.version + 1,
        revision=old.revision + 1,
        modify_time=transaction.now_ns,
    )
    transaction.add_version(old, job)
    transaction.evaluate(job)
    return job


def _comparable(job: Job) -> dict[str, Any]:
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
    return str(yaml.safe_dump(_comparable(job), sort_keys=False, allow_unicode=True))


# ---- defaults


def _with_defaults(job: Job, defaults: Mapping[str, Mapping[str, Any]]) -> Job:
    type_defaults = _member(defaults, job.type)
    if not type_defaults:
        return job
    task = _member(type_defaults, "Task") or {}
    return replace(
        job,
        priority=job.priority or int(_member(type_defaults, "Priority") or 0),
        tasks=[_task_defaults(each, task, job.type) for each in job.tasks],
    )


def _task_defaults(task: Task, defaults: Mapping[str, Any], job_type: str) -> Task:
    resources = _member(defaults, "Resources") or {}
    task_resources = task.resources
    filled = ResourcesConfig(
        cpu=task_resources.cpu or clean(str(_member(resources, "CPU") or "")),
        memory=task_resources.memory or clean(str(_member(resources, "Memory") or "")),
        disk=task_resources.disk or clean(str(_member(resources, "Disk") or "")),
        gpu=task_resources.gpu or clean(str(_member(resources, "GPU") or "")),
    )
    limits = _member(defaults, "Timeouts") or {}
    if job_type in (JobType.SERVICE, JobType.DAEMON):
        # They end when somebody stops them: of the time-outs only the one in the queue is theirs.
        queue_s = task.timeouts.queue_timeout or int(_member(limits, "QueueTimeout") or 0)
        return replace(task, resources=filled, timeouts=replace(task.timeouts, queue_timeout=queue_s))
    publisher = _member(defaults, "Publisher") or {}
    execution_s = task.timeouts.execution_timeout or int(_member(limits, "ExecutionTimeout") or 0)
    total_s = task.timeouts.total_timeout or int(_member(limits, "TotalTimeout") or 0)
    queue_s = int(_member(limits, "QueueTimeout") or 0)
    if total_s:
        # Both others must fit into the total; a default gives way to what the job says.
        queue_s = max(0, min(queue_s, total_s - execution_s))
    chosen = task.publisher
    if chosen.is_empty and _member(publisher, "Type"):
        chosen = SpecConfig(
            type=str(_member(publisher, "Type")), params=dict(_member(publisher, "Params") or {})
        )
    return replace(
        task,
        resources=filled,
        publisher=chosen,
        timeouts=replace(
            task.timeouts,
            execution_timeout=execution_s,
            queue_timeout=task.timeouts.queue_timeout or queue_s,
            total_timeout=total_s,
        ),
    )


def _member(mapping: Mapping[str, Any], name: str) -> Any:
    """Return a member whatever the case of its key (config keys are case-insensitive)."""
    return folded(mapping).get(name.lower())


def _a(kind: str) -> str:
    return f"an {kind}" if kind.startswith(tuple("aeiou")) else f"a {kind}"
