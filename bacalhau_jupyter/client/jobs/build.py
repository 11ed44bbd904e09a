"""Build jobs in Python: ``docker(…)``, ``process(…)``, and where data comes from and goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from bacalhau_jupyter.client.inputs.inline import inline
from bacalhau_jupyter.client.inputs.s3_options import s3_params
from bacalhau_jupyter.client.inputs.uri import parse_input, parse_output, parse_publisher
from bacalhau_jupyter.client.jobs.limits import resources_asked, seconds_asked
from bacalhau_jupyter.client.jobs.options import DEFAULT_OPTIONS, OUTPUTS, Input, JobKeywords, JobOptions
from bacalhau_jupyter.client.jobs.submission import OUR_PUBLISHER, QUEUE_TIMEOUT_S
from bacalhau_jupyter.client.packages.import_path import with_import_path
from bacalhau_jupyter.client.packages.pending import pending_packages
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job, JobType
from bacalhau_jupyter.models.jobs.spec import (
    Constraint,
    InputSource,
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    SpecConfig,
    Task,
    Timeouts,
)
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.hosts import HOST_NAME
from bacalhau_jupyter.models.records.hosts import LABEL as HOST_LABEL

__all__ = [
    "OUTPUTS",
    "QUEUE_TIMEOUT_S",
    "JobOptions",
    "docker",
    "docker_engine",
    "inline",
    "ipfs",
    "job_of",
    "local",
    "local_path",
    "process",
    "s3",
    "url",
]


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
    given_options = {"endpoint": endpoint, "region": region, "filter": filter, "versionid": version}
    options = {**given_options, "partition": partition}
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
    **options: Unpack[JobKeywords],
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
        The fields of `JobOptions`.
    """
    engine = docker_engine(image, command, entrypoint=entrypoint, workdir=workdir)
    return job_of(engine, JobOptions(**options))


def docker_engine(
    image: str, command: str | Sequence[str] = (), *, entrypoint: Sequence[str] = (), workdir: str = ""
) -> SpecConfig:
    """Return the engine's part of the job that `docker` builds."""
    params: dict[str, Any] = {"Image": image}
    if entrypoint:
        params["Entrypoint"] = list(entrypoint)
    if command:
        params["Parameters"] = ["sh", "-c", command] if isinstance(command, str) else list(command)
    if workdir:
        params["WorkingDirectory"] = workdir
    return SpecConfig(type="docker", params=params)


def process(
    command: str | Sequence[str],
    *,
    python: Mapping[str, Any] | None = None,
    **options: Unpack[JobKeywords],
) -> Job:
    """Build a job that runs ``command`` confined on the node's own file tree; a string is run by ``sh -c``.

    Parameters
    ----------
    command
        The program and its arguments.
    python
        A Python environment that the job sees besides: what `Client.environment` returned.
    **options
        The fields of `JobOptions`.
    """
    params: dict[str, Any] = {"Command": ["sh", "-c", command] if isinstance(command, str) else list(command)}
    if python:
        params["Python"] = dict(python)
    return job_of(SpecConfig(type="process", params=params), JobOptions(**options))


def job_of(engine: SpecConfig, options: JobOptions = DEFAULT_OPTIONS) -> Job:
    """Build a batch job (``target="all"``: an ops job) around an engine spec.

    Raises
    ------
    BacalhauError
        An option is not valid, or an input can't be used.
    """
    total_s = seconds_asked(options.timeout, "timeout")
    # On the wire 0 is the cluster's own; who asks for none does not want to wait.
    queue_s = seconds_asked(options.queue_timeout, "queue timeout") or 1
    paths = [parse_output(item) if isinstance(item, str) else item for item in options.outputs]
    env = dict(options.env or {})
    inputs = [source for item in options.inputs for source in sources_of(item)]
    if options.pip or options.no_binary:
        inputs.append(pending_packages(options.pip, engine.type, no_binary=options.no_binary))
        engine, env = with_import_path(engine, env)
    task = Task(
        name=options.task_name,
        engine=engine,
        publisher=_publisher(options.publisher, has_outputs=bool(paths)),
        env=env,
        input_sources=inputs,
        result_paths=paths,
        resources=resources_asked(
            ResourcesConfig(
                cpu=str(options.cpu), memory=options.memory, disk=options.disk, gpu=str(options.gpu)
            )
        ),
        network=NetworkConfig(type=_network(options.network), domains=list(options.domains)),
        # Official validation wants the queue's time within the total.
        timeouts=Timeouts(
            total_timeout=total_s,
            queue_timeout=min(queue_s, total_s or queue_s),
        ),
    )
    ops = options.target == "all"
    return Job(
        name=options.name,
        namespace=options.namespace,
        type=JobType.OPS if ops else JobType.BATCH,
        priority=options.priority,
        count=0 if ops else options.count,
        constraints=constraints_of(options),
        labels=dict(options.labels or {}),
        tasks=[task],
    )


def constraints_of(options: JobOptions) -> list[Constraint]:
    """Return what nodes must have to run a job.

    Raises
    ------
    BadRequest
        The selector can't be read, or there can't be such a host.
    """
    from bacalhau_jupyter.models.jobs.selector import parse_selector

    constraints = parse_selector(options.constraints) if options.constraints else []
    if not options.host:
        return constraints
    if not HOST_NAME.fullmatch(options.host):
        raise BadRequest(
            f"{shown(options.host[:80])!r} can't be the name of a host", hint="`host list` shows the hosts"
        )
    return [*constraints, Constraint(key=HOST_LABEL, operator="=", values=[options.host])]


def _publisher(publisher: SpecConfig | str | None, *, has_outputs: bool) -> SpecConfig:
    if publisher is None:
        return OUR_PUBLISHER if has_outputs else SpecConfig()
    return parse_publisher(publisher) if isinstance(publisher, str) else publisher


def sources_of(item: Input) -> Sequence[InputSource]:
    """Return an input as the spec holds it.

    Raises
    ------
    BacalhauError
        It can't be used.
    """
    if isinstance(item, str):
        return [parse_input(item)]
    return [item] if isinstance(item, InputSource) else item.as_inputs()


def _network(text: str) -> NetworkType:
    try:
        return NetworkType(text) if text else NetworkType.DEFAULT
    except ValueError:
        names = ", ".join(member.value for member in NetworkType)
        raise BadRequest(f"network {text!r} is not one of {names}") from None
