"""Job specs as text, and what happens to a job once it is described."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from bacalhau_jupyter.grammar.output import Details, Text
from bacalhau_jupyter.grammar.root import client
from bacalhau_jupyter.grammar.session import current
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.codec import convert, to_plain
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.job import Job as JobModel


def submit(
    job: JobModel,
    *,
    wait: bool,
    follow: bool,
    id_only: bool,
    dry_run: bool,
    check: bool | None,
    force: bool = False,
) -> Any:
    """Submit a job and do what the wait flags say."""
    if dry_run:
        return Details(spec_of(job))
    session = current()
    handle = session.submit(client(), job, force=force, on_interrupt="stop")
    if id_only:
        # As the official verb: the ID at once, then nothing until the job is over.
        click.echo(handle.id)
        if wait:
            handle.until_settled(check=bool(check))
        return None
    if not wait:
        return Text(f"Job {handle.id} submitted. %bacalhau attach {handle.short_id} shows it again.")
    return session.follow(handle, logs=follow, check=bool(check))


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
        It is neither, or not a mapping, or a member has the wrong type.
    """
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not YAML"
        raise BadRequest(f"{what} is not valid YAML{where}: {reason}") from error
    if not isinstance(plain, dict):
        raise BadRequest(f"{what} must be a mapping with Type and Tasks, not {type(plain).__name__}")
    inner = folded(plain).get("job")
    return convert(inner if isinstance(inner, dict) else plain, JobModel, what)


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
