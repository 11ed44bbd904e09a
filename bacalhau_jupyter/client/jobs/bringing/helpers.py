"""Small jobs on the way to a job's packages: they ask an image for its Python, and run builds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.jobs.python_body import FIND_PYTHON
from bacalhau_jupyter.client.packages.failures import COMPONENT
from bacalhau_jupyter.client.packages.targets import PROBE
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task, replace
from bacalhau_jupyter.models.records.node import NodeInfo

T = TypeVar("T")

QUEUE_S = 600
"""Seconds that such a job may wait for room."""
LABELS = {"jupyter.org/purpose": "packages"}


class Submits(Protocol):
    """Submits jobs; `Client` does."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the cluster's API is."""
        ...

    @property
    def info(self) -> NodeInfo:
        """What the connected node says of itself."""
        ...

    def call(self, work: Callable[[AsyncAPI], Awaitable[T]]) -> T:
        """Make one API call."""
        ...

    def submit(self, job: JobModel) -> Job:
        """Submit a job."""
        ...


def ask_python(client: Submits, image: str, task: Task) -> str:
    """Return what the Python of an image prints about itself.

    Raises
    ------
    BacalhauError
        The image holds none, or the job did not end well.
    """
    job = docker(
        image,
        entrypoint=python_words(["-c", PROBE]),
        outputs=(),
        queue_timeout=QUEUE_S,
        labels=LABELS,
        network="None",
    )
    handle = client.submit(replace(job, tasks=[replace(job.task, resources=small(task))]))
    result = awaited(handle)
    if result.exit_code:
        raise BadRequest(
            f"{image} does not say which Python it has: {result.stderr.strip()[-300:] or 'it printed nothing'}",
            component=COMPONENT,
            hint="--pip needs an image with python3 or python, and sh",
        )
    return result.stdout


def awaited(handle: Job) -> JobResult:
    """Wait for a job, whatever its exit code; who stops waiting stops it."""
    try:
        return handle.result(check=False)
    except BaseException:
        with suppress(BacalhauError):
            handle.stop("the packages are not needed any more")
        raise


def python_words(arguments: Sequence[str]) -> list[str]:
    """Return the entrypoint that starts the Python of an image."""
    return ["sh", "-c", FIND_PYTHON, "sh", *arguments]


def small(task: Task) -> Any:
    """Return the job's resources without GPUs: its helpers need none."""
    return replace(task.resources, gpu="")


def image_of(engine: SpecConfig) -> str:
    """Return an engine's image; empty for one without."""
    image = engine.params.get("Image")
    return image if isinstance(image, str) else ""
