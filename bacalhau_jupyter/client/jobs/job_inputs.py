"""``-i job:ID[/path]``: the result of a job as an input, on a command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bacalhau_jupyter.client.inputs.uri import DEFAULT_TARGET, JOB_SCHEME, split_input
from bacalhau_jupyter.client.inputs.uri_hints import known_options
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.results.references import ResultPart
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import BadRequest, Conflict
from bacalhau_jupyter.models.jobs.spec import InputSource


class FindsJobs(Protocol):
    """Finds a job by its name or ID; `Client` does."""

    def job(self, job_id: str) -> Job:
        """Return the handle of an existing job."""
        ...


def resolve_input(text: str, client: Callable[[], FindsJobs]) -> list[InputSource | str]:
    """Turn ``job:ID[/path][:TARGET]`` into inputs; any other input stays as it is.

    Raises
    ------
    BacalhauError
        The job or file does not exist, or the job is not over.
    """
    fields = split_input(text)
    if not (fields.uri or "").startswith(JOB_SCHEME):
        return [text]
    job_id, _, path = (fields.uri or "").removeprefix(JOB_SCHEME).lstrip("/").partition("/")
    if not job_id:
        raise BadRequest(f"-i/--input {text!r} names no job", hint="use job:ID or job:ID/outputs/file")
    options = dict(fields.options)
    archive = options.pop("archive", "false")
    is_archive = parse_truth(archive)
    if is_archive is None:
        raise BadRequest(f"-i/--input opt=archive is true or false, not {archive!r}")
    if options:
        raise BadRequest(
            f"-i/--input job has no option {next(iter(options))!r}",
            hint=known_options(next(iter(options)), ("archive",)),
        )
    job = client().job(job_id)
    state = job.state
    if not state.is_terminal:
        raise Conflict(
            f"job {job.short_id} is {state.value.lower()}: its result can't be an input yet",
            hint=f"%bacalhau attach {job.short_id} waits for it",
        )
    part = ResultPart(job.outcome(check=False), path, fields.target or DEFAULT_TARGET, is_archive)
    return list(part.as_inputs())
