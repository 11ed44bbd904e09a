"""Bacalhau's short forms for inputs (``-i``), outputs (``-o``) and publishers (``-p``).

The official ones: ``URI[:TARGET]`` or ``src=URI,dst=TARGET,opt=KEY=VALUE…``, comma separated and CSV quoted. Where the
official CLI takes a form that it then drops without a word (a path below a CID, an option that a type does not have, a
port taken for a target), the form either means what it says here, or is refused.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from bacalhau_jupyter.client.inputs.inline import upload
from bacalhau_jupyter.client.inputs.s3_options import s3_params
from bacalhau_jupyter.client.inputs.uri_hints import (
    INPUT,
    OPTION_KEYS,
    READ_WRITE,
    S3_PUBLISHER_OPTIONS,
    SOURCE_KEYS,
    TARGET_KEYS,
    is_path,
    known_keys,
    known_options,
    misplaced_option,
    nearest,
    nearest_file,
    refuse_login,
)
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import InputSource, ResultPath, SpecConfig
from bacalhau_jupyter.models.names import shown

DEFAULT_TARGET = "/inputs"

JOB_SCHEME = "job:"
"""``-i job:ID[/path]`` (an addition of ours): the result of a job; see `client.jobs.job_inputs`."""

_PUBLISHER = "-p/--publisher"

_INPUT_FORMS = "s3://bucket/key, ipfs://CID, https://…, file:///path/on/the/node, job:ID, or a path here"
_PUBLISHER_FORMS = "local, ipfs, s3managed or s3://bucket/key[,opt=region=…]"


@dataclass(frozen=True)
class _Fields:
    """What a comma form says; None where it does not."""

    uri: str | None = None
    target: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def parse_input(text: str) -> InputSource:
    """Parse ``-i``. A plain path (an addition of ours) ships the client's own file or directory with the job.

    Raises
    ------
    BadRequest
        The text has an unknown key, scheme or option, or lacks the URI.
    """
    fields = split_input(text)
    uri = fields.uri or ""
    path = path_here(uri)
    if "://" not in uri and (is_here(path) or is_path(uri)):
        _no_options(fields.options, "a path of this machine")
        if not os.path.lexists(path):
            raise BadRequest(f"{INPUT}: no such file here: {shown(uri)}", hint=nearest_file(path))
        return upload(path, fields.target)
    return _reference(fields)


def path_here(uri: str) -> Path:
    """Return the path of this machine that a text means; ``~`` of a user who does not exist means itself."""
    path = Path(uri)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def is_here(path: Path) -> bool:
    """Whether a path of this machine exists; what no path can be does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def parse_reference(text: str, *, takes_relative: bool = False) -> InputSource:
    """Parse an input that says where something lies; files of this machine are neither read nor looked for.

    For requests on behalf of another machine: the text decides, not the files here. With ``takes_relative`` the target
    may be a relative path, as that of a WebAssembly module.

    Raises
    ------
    BadRequest
        As `parse_input`, and for a path.
    """
    fields = split_input(text, takes_relative=takes_relative)
    if "://" not in (fields.uri or ""):
        raise BadRequest(
            f"input {text!r} is not an address", hint="use s3://…, ipfs://…, https://… or file:///…"
        )
    return _reference(fields)


def _reference(fields: _Fields) -> InputSource:
    uri = fields.uri or ""
    if uri.startswith(JOB_SCHEME):
        raise BadRequest(
            f"{INPUT} {uri!r} needs a client to look up the job",
            hint="in Python, pass the result itself: inputs=[job.result()]",
        )
    return InputSource(source=_source(uri, fields.options), alias=uri, target=fields.target or DEFAULT_TARGET)


def split_input(text: str, *, takes_relative: bool = False) -> _Fields:
    """Split an input into URI, target (None when not given) and options, without looking at what they mean.

    Raises
    ------
    BadRequest
        The text has an unknown key, lacks the URI, or its target is not absolute.
    """
    fields = _split(text, INPUT)
    if not fields.uri:
        raise BadRequest(f"{INPUT} {text!r} names no URI", hint=f"use {_INPUT_FORMS}")
    target = fields.target
    uri = fields.uri
    if target is None:
        uri, target = _split_target(uri)
    if target is not None and not target.startswith("/") and not takes_relative:
        raise BadRequest(
            f"{INPUT} needs an absolute path inside the job as its target, not {target!r}",
            hint=f"for example dst=/{target.lstrip('./') or 'inputs'}",
        )
    return _Fields(uri, target, fields.options)


def parse_output(text: str) -> ResultPath:
    """Parse ``-o name:/absolute/path``.

    Raises
    ------
    BadRequest
        The text is not in that form.
    """
    name, colon, path = text.partition(":")
    if not colon or not name.strip() or not path.startswith("/"):
        leaf = path.strip("/ ") or name.strip("/ ") or "outputs"
        raise BadRequest(
            f"-o/--output needs name:/absolute/path, not {text!r}",
            hint=f"for example {name.strip('/ ') or leaf}:/{leaf}",
        )
    return ResultPath(name=name.strip(), path=path.strip())


def parse_publisher(text: str) -> SpecConfig:
    """Parse ``-p``: ``local``, ``ipfs``, ``s3managed``, ``noop`` or ``s3://bucket/key[,opt=region=…]``.

    Of S3, bucket and key may come as options as well (``s3,opt=bucket=…,opt=key=…``), and the destination as
    ``dst=s3://…``.

    Raises
    ------
    BadRequest
        The text names no publisher.
    """
    fields = _split(text, _PUBLISHER)
    uri = fields.target if fields.uri is None else fields.uri
    if fields.uri is not None and fields.target is not None:
        raise BadRequest(f"{_PUBLISHER} {text!r} names two destinations", hint=f"use {_PUBLISHER_FORMS}")
    if not uri:
        raise BadRequest(f"{_PUBLISHER} {text!r} names no destination", hint=f"use {_PUBLISHER_FORMS}")
    parts = _parts(uri, _PUBLISHER)
    kind = (parts.scheme or uri).lower()
    if kind in ("local", "ipfs", "s3managed", "noop"):
        if parts.netloc or parts.path.strip("/") not in ("", uri):
            raise BadRequest(f"{_PUBLISHER} {kind} takes no path: {uri!r}", hint=f"use -p {kind}")
        _no_options(fields.options, kind, _PUBLISHER)
        return SpecConfig(type=kind, params={})
    if kind != "s3":
        raise BadRequest(f"{_PUBLISHER} does not know {uri!r}", hint=nearest(uri, _PUBLISHER_FORMS))
    for name in fields.options:
        if name.lower() not in S3_PUBLISHER_OPTIONS:
            raise BadRequest(
                f"{_PUBLISHER} s3 has no option {name!r}", hint=known_options(name, S3_PUBLISHER_OPTIONS)
            )
    params = {name: value for name, value in fields.options.items() if value}
    bucket, key = params.pop("bucket", "") or parts.netloc, params.pop("key", "") or _key(uri, parts.netloc)
    refuse_login(bucket, _PUBLISHER)
    if not bucket or not key.strip("/"):
        raise BadRequest(
            f"{_PUBLISHER} s3 needs a bucket and a key, not {text!r}", hint="s3://bucket/results/{jobID}"
        )
    return SpecConfig(type="s3", params={"bucket": bucket, "key": key, **params})


def _split(text: str, flag: str) -> _Fields:
    """Split the comma form; a first field without a key is the URI."""
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise BadRequest(f"{flag} {text!r} has unbalanced quotes: {error}") from error
    uri, target, options = None, None, {}
    for position, part in enumerate(fields):
        key, equals, value = part.partition("=")
        key, named = key.strip().lower(), value.strip(" '\"")
        if equals and key in SOURCE_KEYS and flag == INPUT:
            if uri is not None:
                raise BadRequest(f"{flag} {text!r} names two sources", hint="give each its own input")
            uri = named
        elif equals and key in TARGET_KEYS:
            if target is not None:
                raise BadRequest(f"{flag} {text!r} names two targets", hint="give each target its own input")
            target = named
        elif equals and key in OPTION_KEYS:
            name, inner, setting = value.partition("=")
            if not inner or not name.strip():
                raise BadRequest(f"{flag} option {value!r} needs opt=KEY=VALUE")
            # As it stands: a pattern may well end in a quote or a space.
            options[name.strip()] = setting
        elif position == 0 and not _is_wrong_key(part, key, equals):
            uri = part.strip(" '\"")
        else:
            raise BadRequest(f"{flag} does not know {part!r}", hint=known_keys(key, part, flag))
    return _Fields(uri, target, options)


def _is_wrong_key(part: str, key: str, equals: str) -> bool:
    """Tell ``scr=s3://…`` (a wrong key) from ``https://…?a=b`` (a URI that holds a sign of equality)."""
    return bool(equals) and key.isalpha() and "://" in part and "://" not in part.split("=", 1)[0]


def _split_target(uri: str) -> tuple[str, str | None]:
    """Split ``URI:TARGET`` at the last colon that an absolute path follows (so ports and drives stay whole)."""
    head, colon, tail = uri.rpartition(":")
    if colon and tail.startswith("/") and not tail.startswith("//"):
        return head, tail
    return uri, None


def _source(uri: str, options: Mapping[str, str]) -> SpecConfig:
    parts = _parts(uri, INPUT)
    scheme = parts.scheme.lower()
    if scheme in ("http", "https"):
        _no_options(options, scheme)
        if not parts.netloc:
            raise BadRequest(f"{INPUT} {uri!r} names no host")
        return SpecConfig(type="urlDownload", params={"URL": uri})
    if scheme == "ipfs":
        _no_options(options, scheme)
        cid = uri.split("://", 1)[-1].strip("/")
        if not cid or "://" not in uri:
            raise BadRequest(f"{INPUT} {uri!r} names no CID", hint="use ipfs://CID or ipfs://CID/path")
        return SpecConfig(type="ipfs", params={"CID": cid})
    if scheme == "s3":
        return SpecConfig(type="s3", params=s3_params(parts.netloc, _key(uri, parts.netloc), options))
    if scheme == "file":
        return _file(uri, options)
    raise BadRequest(f"{INPUT} does not know {uri!r}", hint=nearest(uri, _INPUT_FORMS))


def _parts(uri: str, flag: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise BadRequest(f"{flag} {uri!r} is not a URI: {error}") from error


def _no_options(options: Mapping[str, str], what: str, flag: str = INPUT) -> None:
    if options:
        name, value = next(iter(options.items()))
        raise BadRequest(f"{flag} {what} takes no opt={name}", hint=misplaced_option(name, value, flag))


def _key(uri: str, bucket: str) -> str:
    """Return what follows the bucket; a key may hold ? and #, which URLs split off, and escapes are decoded."""
    _, separator, rest = uri.partition("://")
    return _text(rest[len(bucket) :].lstrip("/"), uri) if separator else ""


def _text(escaped: str, uri: str) -> str:
    try:
        text = unquote(escaped, errors="strict")
        text.encode()
    except UnicodeError:
        raise BadRequest(
            f"{INPUT} {shown(uri)} is not UTF-8, as a job spec must be",
            hint="name the directory above it instead: files in a directory may have any name",
        ) from None
    return text


def _file(uri: str, options: Mapping[str, str]) -> SpecConfig:
    path = _text(uri.partition("://")[2], uri)
    if not path:
        raise BadRequest(f"{INPUT} {uri!r} names no path", hint="use file:///path/on/the/node")
    params: dict[str, Any] = {"SourcePath": path}
    for name, value in options.items():
        if name.lower() not in READ_WRITE:
            raise BadRequest(f"{INPUT} file has no option {name!r}", hint=known_options(name, READ_WRITE[:2]))
        is_writable = parse_truth(value)
        if is_writable is None:
            raise BadRequest(f"{INPUT} opt={name} is true or false, not {value!r}")
        params["ReadWrite"] = is_writable
    return SpecConfig(type="localDirectory", params=params)
