"""Whether a form can be submitted: what its fields say, and the rules that the node applies to every job."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from bacalhau_jupyter.client.inputs.uri import (
    DEFAULT_TARGET,
    JOB_SCHEME,
    is_here,
    parse_input,
    parse_reference,
    path_here,
    split_input,
)
from bacalhau_jupyter.models.errors import BacalhauError, ValidationError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, replace
from bacalhau_jupyter.models.jobs.validate import hint_of, validate_stored, validate_submission
from bacalhau_jupyter.notebook.form.reading import ReadInput, read
from bacalhau_jupyter.notebook.form.state import DOCKER, PROCESS, FormState, Problem

PLACEHOLDER = "placeholder"
"""Type of an input that a check does not read: a file of this machine, or the result of a job."""

_BLAMED = (
    ("count", r"\bcount\b"),
    ("kind", r"job type"),
    ("priority", r"job priority"),
    ("constraints", r"constraint|selector"),
    ("env", r"environment variable"),
    ("cpu", r"CPU value"),
    ("memory", r"memory value"),
    ("disk", r"disk value"),
    ("gpu", r"GPU value"),
    ("inputs", r"input source"),
    ("outputs", r"invalid output|result path .*(already|absolute)|missing (path|name)$"),
    ("publisher", r"publisher must be set"),
    ("domains", r"domain"),
    ("network", r"ports? "),
    ("timeout", r"timeouts? "),
    ("name", r"job [nN]ame"),
    ("namespace", r"namespace"),
    ("runs", r"invalid engine"),
)
"""Field, and the words of the sentences about it."""


def check(state: FormState, read_input: ReadInput | None = None) -> tuple[Job, list[Problem]]:
    """Return the job that a form means, and why it can't be submitted; nothing is read, sent or waited for.

    Parameters
    ----------
    state
        The form.
    read_input
        Reads short forms of inputs; by default `seen_input`, which opens no file.
    """
    job, problems = read(state, read_input or seen_input)
    problems = [*problems, *_missing(state)]
    blamed = {problem.field for problem in problems}
    problems += [problem for problem in broken_rules(_whole(job, state)) if problem.field not in blamed]
    return job, problems


def seen_input(text: str) -> list[InputSource]:
    """Read the short form of an input without looking into files or asking for jobs.

    Raises
    ------
    BacalhauError
        No such input can be.
    """
    fields = split_input(text)
    uri = fields.uri or ""
    if uri.startswith(JOB_SCHEME):
        target = fields.target or DEFAULT_TARGET
        return [InputSource(source=SpecConfig(type=PLACEHOLDER), alias=uri, target=target)]
    if "://" in uri:
        return [parse_reference(text)]
    path = path_here(uri)
    if is_here(path):
        default = DEFAULT_TARGET if path.is_dir() else f"{DEFAULT_TARGET}/{path.name}"
        return [InputSource(source=SpecConfig(type=PLACEHOLDER), alias=uri, target=fields.target or default)]
    # It says what is wrong, and reads nothing, for there is nothing.
    return [parse_input(text)]


def broken_rules(job: Job) -> list[Problem]:
    """Return the rules of every node that a job breaks, each with the field to blame."""
    sentences: list[str] = []
    normal = normalize_job(job)
    stored = replace(normal, id=normal.id or "j", name=normal.name or "j")
    for validate, checked in ((validate_submission, job), (validate_stored, stored)):
        try:
            validate(checked)
        except ValidationError as error:
            sentences += [text for text in error.problems if _bare(text) not in map(_bare, sentences)]
    return [Problem(_field(text), text, hint_of([text])) for text in sentences]


def server_problem(error: BacalhauError) -> Problem:
    """Turn a node's refusal into a problem."""
    return Problem(_field(error.message), error.message, error.hint)


def _field(sentence: str) -> str:
    return next((name for name, words in _BLAMED if re.search(words, sentence)), "")


def _bare(sentence: str) -> str:
    """Return a sentence without what it is nested in."""
    return sentence.rpartition(": ")[2]


def _missing(state: FormState) -> list[Problem]:
    """Say what has to be there before anything can run."""
    missing = ""
    if state.is_code:
        missing = "" if state.code.strip() else "code"
        sentence, hint = f"the cell has no body for {state.runs} to run", ""
    elif state.runs == DOCKER:
        missing = "" if state.image.strip() else "image"
        sentence, hint = "Missing argument 'IMAGE'.", "for example ubuntu or python:3.12"
    elif state.runs == PROCESS:
        missing = "" if state.command.strip() else "command"
        sentence, hint = "Missing argument 'COMMAND'.", "for example sh -c 'echo hi'"
    return [Problem(missing, sentence, hint, is_missing=True)] if missing else []


def worth_showing(problems: Sequence[Problem], touched: Collection[str]) -> list[Problem]:
    """Leave out what is only missing: nobody has been at the field yet (``touched`` names those somebody was at)."""
    return [problem for problem in problems if not problem.is_missing or problem.field in touched]


def _whole(job: Job, state: FormState) -> Job:
    """Return the job with the engine that a body gets."""
    if not state.is_code or not job.tasks:
        return job
    task = replace(job.tasks[0], engine=SpecConfig(type=PROCESS))
    return replace(job, tasks=[task, *job.tasks[1:]])
