"""The options of ``-i s3://…`` as parameters of an ``s3`` input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.client.inputs.uri_hints import (
    INPUT,
    S3_INPUT_OPTIONS,
    S3_OPTIONS,
    known_options,
    refuse_login,
)
from bacalhau_jupyter.models.errors import BadRequest


def s3_params(bucket: str, key: str, options: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of an ``s3`` input.

    Raises
    ------
    BadRequest
        The bucket is missing, or an option is unknown.
    """
    if not bucket:
        raise BadRequest(f"{INPUT} s3:///{key} names no bucket", hint="use s3://bucket/key")
    refuse_login(bucket, INPUT)
    params: dict[str, Any] = {"Bucket": bucket, "Key": key}
    for name, value in options.items():
        if name.lower() == "partition":
            params["Partition"] = _partition(value)
            continue
        param = S3_OPTIONS.get(name.lower())
        if param is None:
            raise BadRequest(f"{INPUT} s3 has no option {name!r}", hint=known_options(name, S3_INPUT_OPTIONS))
        params[param] = value
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
