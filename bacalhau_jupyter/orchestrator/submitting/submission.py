"""What users do to jobs: submit, update, run again, stop. Pure, except for the given transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bacalhau_jupyter.lib.ids import IdSource, job_id
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import (
    BadRequest,
    Conflict,
    ValidationError,
)
from bacalhau_jupyter.models.jobs.job import (
    META_ORCHESTRATOR_ID,
    META_REQUESTER_ID,
    META_SERVER_INSTALLATION,
    META_SERVER_INSTANCE,
    Job,
    JobState,
    JobStateType,
)
from bacalhau_jupyter.models.jobs.normalize import normalize_job, sanitize_submission
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.jobs.validate import validate_stored, validate_submission
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.models.records.uploads import parse_link
from bacalhau_jupyter.orchestrator.peers.offers import too_large
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import jobs
from bacalhau_jupyter.orchestrator.store.transaction import Transaction
from bacalhau_jupyter.orchestrator.submitting.comparing import UNNAMED, comparable
from bacalhau_jupyter.orchestrator.submitting.defaults import with_defaults

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
    job = with_defaults(job, settings.job_defaults)
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


def _update(transaction: Transaction, old: Job, job: Job, force: bool) -> Job:
    if old.type != job.type:
        raise BadRequest(
            f"job {old.name!r} is {_a(old.type)} job and can't become {_a(job.type)} job",
            hint="Use another name, or stop the job and use a new name.",
        )
    if not force and comparable(old) == comparable(job):
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


def _a(kind: str) -> str:
    return f"an {kind}" if kind.startswith(tuple("aeiou")) else f"a {kind}"
