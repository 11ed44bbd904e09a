"""What a form can be opened with: a job, its handle or result, a spec as plain dicts, a file, the ID of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.client.jobs.job import Job as Handle
from bacalhau_jupyter.client.jobs.submission import SUBMISSION
from bacalhau_jupyter.client.jobs.titles import TITLE
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.grammar import read_spec
from bacalhau_jupyter.grammar.specs import read_file
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.fields import written_job
from bacalhau_jupyter.models.jobs.job import RESERVED_META_PREFIX, Job, JobState
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.notebook.form.state import blank_job
from bacalhau_jupyter.notebook.origin import CELL, SESSION

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

Spec = Job | Handle | JobResult | Mapping[str, object] | str | Path | None
"""What `JobForm` takes."""

_SUFFIXES = (".yaml", ".yml", ".json")
_OWN_META = (SUBMISSION, CELL, SESSION, TITLE)


def opened(spec: Spec, client: Callable[[], Client]) -> Job:
    """Return the job to fill a form with.

    Parameters
    ----------
    spec
        What the person named; None for an empty form.
    client
        Gives the client that looks a job up; only called for a job's ID.

    Raises
    ------
    BacalhauError
        It can't be read, or there is no such job.
    """
    match spec:
        case None:
            return blank_job()
        case Job():
            return spec
        case Handle():
            return as_spec(spec.describe())
        case JobResult():
            return as_spec(spec.job)
        case Mapping():
            return written_job(spec, "the job spec")
        case Path():
            return read_spec(read_file(str(spec)), str(spec))
        case str():
            if spec.lower().endswith(_SUFFIXES) or _is_file(spec):
                return read_spec(read_file(spec), spec)
            return as_spec(client().job(spec).describe())
    raise BadRequest(
        f"a form can't be filled with {type(spec).__name__}",
        hint="it takes a job's ID, the path of a YAML or JSON file, a dict, or a job",
    )


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def as_spec(job: Job) -> Job:
    """Return a stored job as a person would write it: without ID, state, times, and marks of its submission."""
    meta = {
        name: value
        for name, value in job.meta.items()
        if name not in _OWN_META and not name.startswith(RESERVED_META_PREFIX)
    }
    return replace(
        job,
        id="",
        # A job without a name is named after its ID: with that name it would be an update of itself.
        name="" if job.name == job.id else job.name,
        meta=meta,
        state=JobState(),
        version=0,
        revision=0,
        create_time=0,
        modify_time=0,
    )
