"""Job specs as text: read from files, checked for what a person may have meant, and shown."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import Any

import yaml

from bacalhau_jupyter.grammar.output import Details, Show, blocks
from bacalhau_jupyter.grammar.shown import for_people
from bacalhau_jupyter.lib.masking import MASK
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.fields import written_job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.yamltext import read_yaml


def described(job: JobModel, *, exact: bool = False) -> Details:
    """Return a job's spec as it is shown: for people, or exactly (YAML that ``job run`` takes)."""
    spec = spec_of(job)
    if exact:
        return Details(spec, show=Show(secrets=True))
    return Details(spec, [("", blocks(for_people(spec)))])


def spec_of(job: JobModel) -> dict[str, Any]:
    """Return what a person would write: the spec without state, IDs and times."""
    hidden = {"ID", "State", "Version", "Revision", "CreateTime", "ModifyTime"}
    return {
        key: value for key, value in to_plain(job).items() if key not in hidden and value not in ("", {}, [])
    }


def read_spec(text: str, what: str) -> JobModel:
    """Parse a YAML or JSON job spec.

    Raises
    ------
    BadRequest
        It is neither, or not a mapping, a field is unknown, or a member has the wrong type.
    """
    try:
        plain = read_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not YAML"
        raise BadRequest(f"{what} is not valid YAML{where}: {reason}") from error
    if plain is None:
        raise BadRequest(
            f"{what} is empty", hint="give the path of a job spec, or its YAML or JSON on standard input"
        )
    if not isinstance(plain, dict):
        raise BadRequest(f"{what} must be a mapping with Type and Tasks, not {type(plain).__name__}")
    job = written_job(plain, what)
    _refuse_masked(job, what)
    return job


def _refuse_masked(job: JobModel, what: str) -> None:
    """Refuse a spec that was copied from a view: its secrets are gone."""
    for task in job.tasks or []:
        for name, value in task.env.items():
            if value == MASK:
                raise BadRequest(
                    f"{what}: the value of {name} is masked ({MASK})",
                    hint="write the value itself; --dry-run --exact and --show-secrets print specs that can be run",
                )


def read_file_or_stdin(file: str) -> tuple[str, str]:
    """Return what a spec is called in errors, and its text; ``-`` is standard input.

    Raises
    ------
    BadRequest
        It can't be read.
    """
    if file != "-":
        return file, read_file(file)
    what = "the job spec"
    if sys.stdin is not None and sys.stdin.isatty():
        raise BadRequest(f"{what} is missing", hint="name its file, or send it to standard input")
    return what, read_stdin(what)


def read_file(file: str) -> str:
    """Read a text file.

    Raises
    ------
    BadRequest
        It can't be read.
    """
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise BadRequest(f"{file} can't be read: {error.strerror}") from error
    return _decoded(data, file)


def read_stdin(what: str) -> str:
    """Read text from standard input, whatever the locale says of its encoding.

    Raises
    ------
    BadRequest
        It does not exist, or it is not text.
    """
    try:
        return _decoded(sys.stdin.buffer.read(), what)
    except AttributeError:
        # Not a real stream (a test's, a notebook's).
        return sys.stdin.read()
    except OSError as error:
        raise BadRequest(f"{what} can't be read from standard input: {error.strerror}") from error


def _decoded(data: bytes, what: str) -> str:
    """Decode UTF-8, or UTF-16 that says so by its first bytes: what YAML allows and the official client takes."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"{what} can't be read: it is neither UTF-8 text nor UTF-16 with a byte order mark",
            hint="save it as UTF-8",
        ) from error
