"""Build jobs in Python: ``docker(…)``, ``process(…)``, and where data comes from and goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.inline import inline
from bacalhau_jupyter.client.references import Referable, ResultPart
from bacalhau_jupyter.client.uri import parse_input, parse_output, parse_publisher, s3_params
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.job import Job, JobType
from bacalhau_jupyter.models.spec import (
    InputSource,
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    ResultPath,
    SpecConfig,
    Task,
    Timeouts,
    replace,
)

QUEUE_TIMEOUT_S = 24 * 3600
"""Seconds a job of ours may wait for room (official clients fail at once, as they always did)."""

__all__ = [
    "OUTPUTS",
    "QUEUE_TIMEOUT_S",
    "docker",
    "inline",
    "ipfs",
    "job_of",
    "local",
    "local_path",
    "process",
    "s3",
    "url",
]

OUTPUTS = ResultPath(name="outputs", path="/outputs")
"""What every job of ours brings back."""


def url(address: str, to: str = "/inputs") -> InputSource:
    """Download an HTTP(S) file into the directory ``to``."""
    return InputSource(
        source=SpecConfig(type="urlDownload", params={"URL": address}), alias=address, target=to
    )


def local_path(path: str | Path, to: str = "/inputs", *, read_write: bool = False) -> InputSource:
    """Mount a file or directory of the node's host; the node's allow-list must hold it."""
    absolute = str(Path(path).expanduser().absolute())
    params: dict[str, Any] = {"SourcePath": absolute}
    if read_write:
        params["ReadWrite"] = True
    return InputSource(source=SpecConfig(type="localDirectory", params=params), alias=absolute, target=to)


def s3(
    place: str,
    to: str = "/inputs",
    *,
    region: str = "",
    endpoint: str = "",
    filter: str = "",
    version: str = "",
    partition: str = "",
) -> InputSource:
    """Bring objects of a bucket: ``bucket/key``, a prefix ``bucket/dir/`` or a wildcard ``bucket/dir/*``.

    Parameters
    ----------
    place
        With or without ``s3://``; taken as it stands.
    to
        Directory inside the job.
    region, endpoint, filter, version, partition
        As the options of ``-i s3://…``.
    """
    bucket, _, key = place.removeprefix("s3://").partition("/")
    given = {"endpoint": endpoint, "region": region, "filter": filter, "versionid": version}
    options = {**given, "partition": partition}
    params = s3_params(bucket, key, {name: value for name, value in options.items() if value})
    return InputSource(
        source=SpecConfig(type="s3", params=params), alias=f"s3://{bucket}/{key}:{to}", target=to
    )


def ipfs(cid: str, to: str = "/inputs") -> InputSource:
    """Bring a CID, or a path below one (``CID/path``): a directory appears at ``to``, a file *is* ``to``."""
    params = {"CID": cid.removeprefix("ipfs://")}
    return InputSource(
        source=SpecConfig(type="ipfs", params=params), alias=f"ipfs://{params['CID']}", target=to
    )


def local() -> SpecConfig:
    """Publish to the node itself."""
    return SpecConfig(type="local")


def docker(
    image: str,
    command: str | Sequence[str] = (),
    *,
    entrypoint: Sequence[str] = (),
    workdir: str = "",
    **options: Any,
) -> Job:
    """Build a job that runs ``command`` in a container.

    Parameters
    ----------
    image
        Image reference.
    command
        Arguments after the image's entrypoint; a string is run by ``sh -c``.
    entrypoint, workdir
        Override the image's own.
    **options
        See `job_of`.
    """
    parameters = ["sh", "-c", command] if isinstance(command, str) else list(command)
    params: dict[str, Any] = {"Image": image}
    if entrypoint:
        params["Entrypoint"] = list(entrypoint)
    if parameters and command:
        params["Parameters"] = parameters
    if workdir:
        params["WorkingDirectory"] = workdir
    return job_of(SpecConfig(type="docker", params=params), **options)


def process(command: str | Sequence[str], *, python: Mapping[str, Any] | None = None, **options: Any) -> Job:
    """Build a job that runs ``command`` confined on the node's own file tree; a string is run by ``sh -c``.

    Parameters
    ----------
    command
        The program and its arguments.
    python
        A Python environment that the job sees besides: what `Client.environment` returned.
    **options
        See `job_of`.
    """
    params: dict[str, Any] = {"Command": ["sh", "-c", command] if isinstance(command, str) else list(command)}
    if python:
        params["Python"] = dict(python)
    return job_of(SpecConfig(type="process", params=params), **options)


def job_of(
    engine: SpecConfig,
    *,
    inputs: Sequence[InputSource | Referable | ResultPart | str] = (),
    outputs: Sequence[ResultPath | str] = (OUTPUTS,),
    publisher: SpecConfig | str | None = None,
    env: Mapping[str, str] | None = None,
    cpu: str | float = "",
    memory: str = "",
    disk: str = "",
    gpu: str | int = "",
    network: str = "",
    domains: Sequence[str] = (),
    timeout: int = 0,
    queue_timeout: int = QUEUE_TIMEOUT_S,
    name: str = "",
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    constraints: str = "",
    priority: int = 0,
    count: int = 1,
    task_name: str = "main",
    target: str = "any",
) -> Job:
    """Build a batch job (``target="all"``: an ops job) around an engine spec.

    An input is a short form as ``-i`` takes it, an `InputSource`, or another job's result or a part of it.
    Results are published to the node (``local``) unless ``publisher`` says otherwise; ``timeout`` and
    ``queue_timeout`` are seconds; resources are written as Bacalhau writes them (``500m``, ``4gb``).
    """
    from bacalhau_jupyter.models.selector import parse_selector

    paths = [parse_output(item) if isinstance(item, str) else item for item in outputs]
    if publisher is None:
        publisher = local() if paths else SpecConfig()
    task = Task(
        name=task_name,
        engine=engine,
        publisher=parse_publisher(publisher) if isinstance(publisher, str) else publisher,
        env=dict(env or {}),
        input_sources=[source for item in inputs for source in _sources(item)],
        result_paths=paths,
        resources=ResourcesConfig(cpu=str(cpu), memory=memory, disk=disk, gpu=str(gpu)),
        network=NetworkConfig(type=_network(network), domains=list(domains)),
        # Official validation wants the queue's time within the total.
        timeouts=Timeouts(total_timeout=timeout, queue_timeout=min(queue_timeout, timeout or queue_timeout)),
    )
    ops = target == "all"
    return Job(
        name=name,
        namespace=namespace,
        type=JobType.OPS if ops else JobType.BATCH,
        priority=priority,
        count=0 if ops else count,
        constraints=parse_selector(constraints) if constraints else [],
        labels=dict(labels or {}),
        tasks=[task],
    )


def _sources(item: InputSource | Referable | ResultPart | str) -> list[InputSource]:
    if isinstance(item, str):
        return [parse_input(item)]
    return [item] if isinstance(item, InputSource) else item.as_inputs()


def without_default_queue_timeout(job: Job) -> Job:
    """Return the job with the server's own queue time-out where nobody asked for another than our default."""
    return replace(
        job,
        tasks=[
            replace(task, timeouts=replace(task.timeouts, queue_timeout=0))
            if task.timeouts.queue_timeout == QUEUE_TIMEOUT_S
            else task
            for task in job.tasks
        ],
    )


def _network(text: str) -> NetworkType:
    try:
        return NetworkType(text) if text else NetworkType.DEFAULT
    except ValueError:
        known = ", ".join(member.value for member in NetworkType)
        raise BadRequest(f"network {text!r} is not one of {known}") from None
