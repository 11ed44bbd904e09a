"""What the short forms are made of, and which right form is nearest to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

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
READ_WRITE = ("rw", "read-write", "read_write", "readwrite")
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


def _uri_example(flag: str) -> str:
    return "s3://bucket/a" if flag == INPUT else "s3://bucket/results"


def nearest(uri: str, forms: str) -> str:
    """Say which form is nearest to what was written."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, _, rest = uri.partition(":")
    if scheme.lower() in ("git", "gitlfs"):
        return "git inputs are gone from Bacalhau: clone in the job, or download an archive with https://…"
    if scheme.lower() in ("gs", "gcs"):
        return f"Google's buckets speak S3: s3://{rest},opt=endpoint=https://storage.googleapis.com"
    known = (*_SCHEMES, "local", "s3managed")
    near = difflib.get_close_matches(scheme.lower(), [name for name in known if name in forms], 1, 0.5)
    if near and (separator or rest or near[0] != scheme):
        example = f"{near[0]}://{rest.lstrip('/')}" if near[0] in _SCHEMES and rest else near[0]
        return f"did you mean {example}? Known are {forms}"
    return f"use {forms}"


def known_options(name: str) -> str:
    """Say which options an S3 input has."""
    options: Sequence[str] = (
        "endpoint", "region", "versionID", "checksum-256", "filter", "partition",
    )  # fmt: skip
    near = difflib.get_close_matches(name, options, 1)
    return (f"did you mean {near[0]}? " if near else "") + "known: " + ", ".join(options)
