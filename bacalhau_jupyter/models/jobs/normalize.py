"""Bring a submitted job into the one form that is stored: nothing absent, nothing with stray spaces or case."""

from __future__ import annotations

from bacalhau_jupyter.models.jobs.job import RESERVED_META_PREFIX, Job, JobState, JobStateType, JobType
from bacalhau_jupyter.models.jobs.spec import (
    InputSource,
    NetworkConfig,
    ResourcesConfig,
    ResultPath,
    SpecConfig,
    Task,
    replace,
)
from bacalhau_jupyter.models.jobs.units import clean
from bacalhau_jupyter.models.jobs.wasm_modules import with_module_inputs

DEFAULT_NAMESPACE = "default"


def normalize_job(job: Job) -> Job:
    """Return the job in its stored form; normalising twice changes nothing.

    ``count`` becomes 0 for ops and daemon jobs ("all matching nodes") and 1 where a batch or service job names none;
    an explicit 0 stays. A nameless job that brings an ID is named after it.
    """
    return replace(
        job,
        name=job.name or job.id,
        namespace=job.namespace or DEFAULT_NAMESPACE,
        count=_count(job),
        tasks=[_task(task) for task in job.tasks],
    )


def sanitize_submission(job: Job) -> tuple[Job, list[str]]:
    """Drop what a client may not decide.

    Returns
    -------
    tuple
        The job without state, version, times, reserved Meta keys, further tasks and (batch, ops) ID; and one
        warning per thing dropped, in the official words.
    """
    warnings = []
    changes: dict[str, object] = {}
    if job.state.state_type is not JobStateType.UNDEFINED:
        warnings.append("job state is ignored when submitting a job")
        changes["state"] = JobState()
    for member, words in (
        ("revision", "revision"),
        ("version", "version"),
        ("create_time", "create time"),
        ("modify_time", "modify time"),
    ):
        if getattr(job, member):
            warnings.append(f"job {words} is ignored when submitting a job")
            changes[member] = 0
    if job.id and job.type in (JobType.BATCH, JobType.OPS):
        warnings.append("job ID is ignored when submitting a batch job")
        changes["id"] = ""
    if len(job.tasks) > 1:
        warnings.append("only one task is supported per job")
        changes["tasks"] = job.tasks[:1]
    reserved = sorted(key for key in job.meta if key.startswith(RESERVED_META_PREFIX))
    if reserved:
        warnings += [f'job meta key "{key}" is reserved and will be ignored' for key in reserved]
        changes["meta"] = {key: value for key, value in job.meta.items() if key not in reserved}
    return (replace(job, **changes) if changes else job), warnings


def _count(job: Job) -> int:
    if job.type in (JobType.OPS, JobType.DAEMON):
        return 0
    if job.count is None:
        return 1 if job.type in (JobType.BATCH, JobType.SERVICE) else 0
    return job.count


def _task(task: Task) -> Task:
    task = with_module_inputs(task)
    # The copies of timeouts, network and resources make an absent object an empty one, which is then written.
    return replace(
        task,
        engine=_spec(task.engine),
        publisher=_spec(task.publisher),
        input_sources=[
            InputSource(source=_spec(item.source), alias=item.alias.strip(), target=item.target.strip())
            for item in task.input_sources
        ],
        result_paths=[
            ResultPath(name=item.name.strip(), path=item.path.strip()) for item in task.result_paths
        ],
        resources=ResourcesConfig(
            cpu=clean(task.resources.cpu),
            memory=clean(task.resources.memory),
            disk=clean(task.resources.disk),
            gpu=clean(task.resources.gpu),
        ),
        network=NetworkConfig(
            type=task.network.type,
            domains=[domain.strip().lower() for domain in task.network.domains],
            ports=list(task.network.ports),
        ),
        timeouts=replace(task.timeouts),
    )


def _spec(spec: SpecConfig) -> SpecConfig:
    stripped = spec.type.strip()
    # The object stays the same where nothing changes: `NO_SPEC` is known by that.
    return spec if stripped == spec.type else replace(spec, type=stripped)
