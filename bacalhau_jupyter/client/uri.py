"""Bacalhau's short forms for inputs (``-i``), outputs (``-o``) and publishers (``-p``).

The official ones: ``URI[:TARGET]`` or ``src=URI,dst=TARGET,opt=KEY=VALUE…``, comma separated and CSV quoted.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bacalhau_jupyter.client.inline import upload
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.spec import InputSource, ResultPath, SpecConfig

DEFAULT_TARGET = "/inputs"

_SOURCE_KEYS = {"src", "source"}
_TARGET_KEYS = {"dst", "target", "destination"}
_OPTION_KEYS = {"opt", "option"}

_S3_OPTIONS = {
    "endpoint": "Endpoint",
    "region": "Region",
    "versionid": "VersionID",
    "version-id": "VersionID",
    "checksum-256": "ChecksumSHA256",
    "checksumsha256": "ChecksumSHA256",
    "filter": "Filter",
}


def parse_input(text: str) -> InputSource:
    """Parse ``-i``. A plain path (an addition of ours) ships the client's own file or directory with the job.

    Raises
    ------
    BadRequest
        The text has an unknown key or scheme, or lacks the URI.
    """
    uri, target, options = _split(text, "-i/--input")
    if target is None:
        uri, target = _split_target(uri)
    path = Path(uri).expanduser()
    if "://" not in uri and (path.exists() or uri.startswith(("/", "./", "../", "~"))):
        return upload(path, target)
    return InputSource(source=_source(uri, options), alias=uri, target=target or DEFAULT_TARGET)


def parse_output(text: str) -> ResultPath:
    """Parse ``-o name:/absolute/path``.

    Raises
    ------
    BadRequest
        The text is not in that form.
    """
    name, colon, path = text.partition(":")
    if not colon or not name.strip() or not path.startswith("/"):
        raise BadRequest(f"-o/--output wants name:/absolute/path, not {text!r}")
    return ResultPath(name=name.strip(), path=path.strip())


def parse_publisher(text: str) -> SpecConfig:
    """Parse ``-p``: ``local``, ``ipfs``, ``s3managed``, ``noop`` or ``s3://bucket/key[,opt=region=…]``.

    Raises
    ------
    BadRequest
        The text names no publisher.
    """
    uri, target, options = _split(text, "-p/--publisher")
    if target is not None:
        raise BadRequest(f"-p/--publisher takes no target: {text!r}")
    name = uri.lower()
    if name in ("local", "ipfs", "s3managed", "noop"):
        return SpecConfig(type=name, params=dict(options))
    parts = urlsplit(uri)
    if parts.scheme.lower() == "s3":
        if not parts.netloc or not parts.path.strip("/"):
            raise BadRequest(f"-p/--publisher s3 wants s3://bucket/key, not {uri!r}")
        return SpecConfig(
            type="s3", params={"bucket": parts.netloc, "key": parts.path.lstrip("/"), **options}
        )
    raise BadRequest(
        f"-p/--publisher does not know {uri!r}",
        hint="use local, ipfs, s3managed or s3://bucket/key[,opt=region=…]",
    )


def _split(text: str, flag: str) -> tuple[str, str | None, dict[str, str]]:
    """Split the comma form into URI, target (None when not given) and options."""
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise BadRequest(f"{flag} {text!r} has unbalanced quotes: {error}") from error
    uri, target, options = "", None, {}
    for position, field in enumerate(fields):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if equals and key in _SOURCE_KEYS:
            uri = value.strip()
        elif equals and key in _TARGET_KEYS:
            target = value.strip()
        elif equals and key in _OPTION_KEYS:
            name, inner, setting = value.partition("=")
            if not inner or not name.strip():
                raise BadRequest(f"{flag} option {value!r} wants opt=KEY=VALUE")
            options[name.strip()] = setting.strip()
        elif position == 0:
            uri = field.strip()
        else:
            raise BadRequest(f"{flag} does not know {field!r}", hint="known keys: src, dst, opt")
    if not uri:
        raise BadRequest(f"{flag} {text!r} names no URI")
    return uri, target, options


def _split_target(uri: str) -> tuple[str, str | None]:
    """Split ``URI:TARGET`` at the last colon that an absolute path follows (so ports and drives stay whole)."""
    head, colon, tail = uri.rpartition(":")
    if colon and tail.startswith("/") and not tail.startswith("//"):
        return head, tail
    return uri, None


def _source(uri: str, options: Mapping[str, str]) -> SpecConfig:
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if scheme in ("http", "https"):
        return SpecConfig(type="urlDownload", params={"URL": uri})
    if scheme == "ipfs":
        return SpecConfig(type="ipfs", params={"CID": parts.netloc + parts.path})
    if scheme == "s3":
        return SpecConfig(type="s3", params=_s3_params(uri, parts.netloc, parts.path, options))
    if scheme == "file":
        params: dict[str, Any] = {"SourcePath": uri[len("file://") :]}
        if "rw" in options:
            params["ReadWrite"] = options["rw"].lower() in ("1", "t", "true", "yes")
        return SpecConfig(type="localDirectory", params=params)
    raise BadRequest(
        f"-i/--input does not know {uri!r}",
        hint="use s3://bucket/key, ipfs://CID, http(s)://…, file:///path/on/the/node, or a path here",
    )


def _s3_params(uri: str, bucket: str, path: str, options: Mapping[str, str]) -> dict[str, Any]:
    if not bucket:
        raise BadRequest(f"-i/--input {uri!r} names no bucket")
    # A key may hold ? and #, which URLs split off: take everything after the bucket as it stands.
    key = uri.split("://", 1)[1][len(bucket) :].lstrip("/")
    params: dict[str, Any] = {"Bucket": bucket, "Key": key}
    for name, value in options.items():
        if name.lower() == "partition":
            params["Partition"] = _partition(value)
            continue
        known = _S3_OPTIONS.get(name.lower())
        if known is None:
            raise BadRequest(
                f"-i/--input s3 has no option {name!r}",
                hint="known: " + ", ".join(sorted([*_S3_OPTIONS, "partition"])),
            )
        params[known] = value
    return params


def _partition(text: str) -> dict[str, Any]:
    """Parse ``object``, ``regex:PATTERN``, ``substring:START-END`` or ``date:LAYOUT`` (an addition of ours)."""
    kind, _, setting = text.partition(":")
    kind = kind.strip().lower()
    if kind in ("none", "object") and not setting:
        return {"Type": kind}
    if kind == "regex" and setting:
        return {"Type": kind, "Pattern": setting}
    if kind == "date" and setting:
        return {"Type": kind, "DateFormat": setting}
    start, dash, end = setting.partition("-")
    if kind == "substring" and dash and start.strip().isdecimal() and end.strip().isdecimal():
        return {"Type": kind, "StartIndex": int(start), "EndIndex": int(end)}
    raise BadRequest(
        f"-i/--input s3 does not know opt=partition={text}",
        hint="use object, regex:PATTERN, substring:START-END or date:2006-01-02",
    )
