"""What the short forms are made of, and which right form is nearest to a wrong one."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import shown

INPUT = "-i/--input"
SOURCE_KEYS = ("src", "source")
TARGET_KEYS = ("dst", "target", "destination")
OPTION_KEYS = ("opt", "option")
S3_OPTIONS = {
    "endpoint": "Endpoint",
    "region": "Region",
    "filter": "Filter",
    **dict.fromkeys(("versionid", "version-id", "version_id"), "VersionID"),
    **dict.fromkeys(("checksum-256", "checksum256", "checksum_256", "checksumsha256"), "ChecksumSHA256"),
}
S3_INPUT_OPTIONS = ("endpoint", "region", "versionID", "checksum-256", "filter", "partition")
S3_PUBLISHER_OPTIONS = ("endpoint", "region", "encoding", "bucket", "key")
READ_WRITE = ("rw", "read-write", "read_write", "readwrite")
_LISTED = 10_000
"""Entries of a directory that are looked at for a near name."""

_SCHEMES = ("s3", "ipfs", "http", "https", "file")


def known_keys(key: str, part: str, flag: str) -> str:
    """Say what a field of the comma form may have meant."""
    keys = (*SOURCE_KEYS, *TARGET_KEYS, *OPTION_KEYS) if flag == INPUT else (*TARGET_KEYS, *OPTION_KEYS)
    if "=" not in part:
        return f"a comma needs quotes when it belongs to a name: '\"{_uri_example(flag)},x\"'; else: src=, dst=, opt="
    if key in (*S3_OPTIONS, *READ_WRITE, "partition", "encoding", "bucket", "key"):
        return f"did you mean opt={part.strip()}?"
    near = difflib.get_close_matches(key, keys, 1)
    return f"did you mean {near[0]}=?" if near else "known keys: src, dst, opt"


def misplaced_option(name: str, value: str, flag: str) -> str:
    """Say what an option may have meant where there are none."""
    keys = (*SOURCE_KEYS, *TARGET_KEYS) if flag == INPUT else TARGET_KEYS
    return f"did you mean {name}={value}, without opt=?" if name.lower() in keys else "leave the option out"


def is_path(uri: str) -> bool:
    """Whether a text without ``://`` means a file here: a path, or a name that looks like no address."""
    if uri.startswith(("/", "./", "../", "~")):
        return True
    first, separator, _ = uri.partition("/")
    if ":" in first:
        return False
    schemes = (*_SCHEMES, "local", "s3managed")
    return bool(separator or PurePath(uri).suffix) or not difflib.get_close_matches(
        uri.lower(), schemes, 1, 0.5
    )


def nearest_file(path: Path) -> str:
    """Say which file here may have been meant."""
    try:
        names = [entry.name for entry in os.scandir(path.parent)][:_LISTED]
    except (OSError, ValueError):
        return f"there is no directory {shown(str(path.parent))} here"
    near = difflib.get_close_matches(path.name, names, 1)
    if near:
        return f"did you mean {shown(str(path.with_name(near[0])))}?"
    return (
        "relative paths start in this directory; data elsewhere is s3://…, ipfs://…, https://… or file:///…"
    )


def _uri_example(flag: str) -> str:
    return "s3://bucket/a" if flag == INPUT else "s3://bucket/results"


def nearest(uri: str, forms: str) -> str:
    """Say which form is nearest to what was written."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, _, rest = uri.partition(":")
    if scheme.lower() in ("git", "gitlfs"):
        return (
            "Bacalhau no longer supports git inputs: clone in the job, or download an archive with https://…"
        )
    if scheme.lower() in ("gs", "gcs"):
        return f"Google Cloud Storage has an S3 interface: s3://{rest},opt=endpoint=https://storage.googleapis.com"
    schemes = (*_SCHEMES, "local", "s3managed")
    near = difflib.get_close_matches(scheme.lower(), [name for name in schemes if name in forms], 1, 0.5)
    if near and (separator or rest or near[0] != scheme):
        example = f"{near[0]}://{rest.lstrip('/')}" if near[0] in _SCHEMES and rest else near[0]
        return f"did you mean {example}? Known are {forms}"
    return f"use {forms}"


def refuse_login(bucket: str, flag: str) -> None:
    """Refuse a user or a password in front of a bucket: it would be stored with the job, for all to read.

    Raises
    ------
    BadRequest
        There is one.
    """
    if "@" in bucket:
        raise BadRequest(
            f"{flag} s3://***@{shown(bucket.rpartition('@')[2])} holds a user or a password, which buckets do not have",
            hint="the node that reads or writes the bucket has the credentials: AWS_ACCESS_KEY_ID, or a profile",
        )


def known_options(name: str, options: Sequence[str]) -> str:
    """Say which options there are, the nearest first."""
    near = difflib.get_close_matches(name, options, 1)
    return (f"did you mean {near[0]}? " if near else "") + "known: " + ", ".join(options)
