"""The place of a published result, as an input of the next job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.client.inputs.inline import INLINE_LIMIT
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIXES


@dataclass(frozen=True)
class Place:
    """A result that can be passed by reference: S3 parameters without the key, and the prefix or CID."""

    type: str
    root: str
    params: dict[str, Any]


def place_of(reference: SpecConfig, name: str) -> Place | None:
    """Return where a result's files lie one by one; None for an archive."""
    params = folded(reference.params)
    if reference.type == "ipfs":
        return Place("ipfs", _text(params, "cid", name), {})
    if reference.type == "s3" and not _text(params, "key", name).endswith(ARCHIVE_SUFFIXES):
        return Place("s3", _text(params, "key", name).rstrip("/") + "/", s3_reference(params))
    return None


def _text(params: dict[str, Any], key: str, name: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise BacalhauError(f"the published result of {name} has no {key}", component="Results")
    return value


def s3_reference(params: dict[str, Any]) -> dict[str, Any]:
    """Return what an ``s3`` input takes over from a published reference; the key is left out."""
    names = {"bucket": "Bucket", "region": "Region", "endpoint": "Endpoint", "versionid": "VersionID"}
    return {names[key]: params[key] for key in names if params.get(key)}


def archive_urls(references: Sequence[SpecConfig]) -> list[str]:
    """Return the addresses of archives, as the cluster has signed them.

    Raises
    ------
    BacalhauError
        A result has none.
    """
    addresses = []
    for item in references:
        params = folded(item.params)
        address = params.get("url") or params.get("presignedurl")
        if not address:
            raise BacalhauError(f"results of type {item.type!r} have no address", component="Results")
        addresses.append(str(address))
    return addresses


def missing(name: str, path: str, names: list[str]) -> NotFound:
    """Return the error for a path that no execution has."""
    listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    return NotFound(
        f"the results of {name} hold no {path or 'files'}", hint=f"there is: {listed or 'nothing'}"
    )


def too_large(what: str, size: int) -> BadRequest:
    """Return the error for files that can travel neither by reference nor inside a job."""
    return BadRequest(
        f"{what} has {size:,} bytes in an archive; this cluster unpacks none, and a job carries {INLINE_LIMIT:,}",
        hint="publish with -p s3://bucket/key/,opt=encoding=plain or -p ipfs, which pass any size by reference; "
        "or pass fewer files (result['outputs/x']), or result.archive and unpack it in the job",
    )
