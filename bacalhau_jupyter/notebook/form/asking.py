"""What the node says of a job before it is submitted: the same checks, and nothing is stored."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.notebook.form.checking import PLACEHOLDER, server_problem
from bacalhau_jupyter.notebook.form.state import PROCESS, Problem

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

_LARGEST = 256 * 1024
"""Bytes of a spec that is sent only to be checked."""


@dataclass(frozen=True)
class Word:
    """What the node says: why it would refuse the job, and what else is to be known."""

    problems: Sequence[Problem] = ()
    note: str = ""


def ask(client: Client, job: Job, *, is_code: bool) -> Word:
    """Ask whether a job would be taken.

    Parameters
    ----------
    client
        A connected client.
    job
        The job, as `check` returns it.
    is_code
        Whether the engine is left open.
    """
    sent = probe(job, is_code=is_code)
    if len(encode(sent)) > _LARGEST:
        return Word(note="the spec is large: the node checks it when it is submitted")
    try:
        # Comparing with the stored job of that name checks the spec like a submission; it changes nothing.
        answer = client.call(lambda api: api.diff(sent))
    except NotFound:
        return Word(note="the node would take this job")
    except BadRequest as error:
        return Word([server_problem(error)])
    except BacalhauError as error:
        return Word(note=f"the node could not check this: {error.message}")
    if answer.diff:
        return Word(note=f"Submit updates the job {job.name!r}")
    return Word(note=f"the job {job.name!r} is the same already: change it, or its name")


def probe(job: Job, *, is_code: bool) -> Job:
    """Return the job to ask about: with a name, for only jobs with names are compared."""
    tasks = list(job.tasks)
    if tasks:
        sources = [item for item in tasks[0].input_sources if item.source.type != PLACEHOLDER]
        engine = SpecConfig(type=PROCESS) if is_code else tasks[0].engine
        tasks[0] = replace(tasks[0], engine=engine, input_sources=sources)
    return replace(job, name=job.name or f"form-{uuid.uuid4()}", tasks=tasks)
