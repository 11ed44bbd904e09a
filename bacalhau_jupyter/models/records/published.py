"""Where the results of an execution lie: below the API, and in a bucket under the key that its job names."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.jobs.spec import SpecConfig

ARCHIVE_SUFFIX = ".tar.gz"
"""What the name of a packed result ends with; official clients unpack by it."""
ARCHIVE_SUFFIXES = (ARCHIVE_SUFFIX, ".tgz")
"""What a packed result may be called in a bucket."""
RESULTS_PATH = "/api/v1/compute/results"
"""Where the API serves archives of the ``local`` publisher: the last segment is ``<execution ID>.tar.gz``."""
LOCAL_FILE = "File"
"""Parameter of a listed result: where its archive lies, for a program of the node's own user on its machine."""
_PLACEHOLDER = re.compile(r"(\{nodeID\}|\{executionID\}|\{jobID\}|\{date\}|\{time\})")


def published_key(
    key: str, *, job_id: str, execution_id: str, node_id: str, now: datetime.datetime, archive: bool
) -> str:
    """Return the key with its placeholders filled in and the suffix of its encoding.

    Parameters
    ----------
    now
        In the node's own time zone.
    archive
        Whether the results are one archive (``encoding=gzip``), or files below the key (``plain``).
    """
    values = _values(job_id, execution_id, node_id) | {
        "{date}": f"{now:%Y%m%d}",
        "{time}": f"{now:%H%M%S}",
    }
    # Piece by piece: what is filled in is not read again.
    return "".join(values.get(piece, piece) for piece in _PLACEHOLDER.split(_ended(key, archive)))


def without_file(reference: SpecConfig, execution_ids: Iterable[str] = ()) -> SpecConfig:
    """Return a reference that names no file of its reader's disk, in whatever spelling, but an archive.

    Only the archive of one of these executions may stay: who made the reference must not choose what else is read.
    """
    name = str(reference.param(LOCAL_FILE, "")).rpartition("/")[2]
    if any(execution_id and name == f"{execution_id}{ARCHIVE_SUFFIX}" for execution_id in execution_ids):
        return reference
    params = {name: value for name, value in reference.params.items() if name.lower() != LOCAL_FILE.lower()}
    return SpecConfig(type=reference.type, params=params)


def is_own_publication(
    publisher: SpecConfig, reference: SpecConfig, *, job_id: str, execution_id: str, node_id: str
) -> bool:
    """Whether an ``s3`` reference names the place that the job's publisher gives to this execution, and no other.

    The reader of the reference signs links to it with its own credentials, so it must not be the node that chooses
    what they open.
    """
    if not (publisher.is_type("s3") and reference.is_type("s3")):
        return False
    expected, reported = folded(publisher.params), folded(reference.params)
    if len(reported) != len(reference.params):
        # A name twice, in two spellings: another reader might take the other one.
        return False
    archive = (_text(expected, "encoding").strip().lower() or "gzip") == "gzip"
    # A job that names no region leaves it to the node.
    names = ("bucket", "endpoint", "region") if _place(expected, "region") else ("bucket", "endpoint")
    if any(_place(expected, name) != _place(reported, name) for name in names):
        return False
    values = {name: re.escape(value) for name, value in _values(job_id, execution_id, node_id).items()}
    values |= {"{date}": r"\d{8}", "{time}": r"\d{6}"}
    pieces = _PLACEHOLDER.split(_ended(_text(expected, "key"), archive))
    pattern = "".join(values.get(piece) or re.escape(piece) for piece in pieces)
    return re.fullmatch(pattern, _text(reported, "key"), re.ASCII) is not None


def _values(job_id: str, execution_id: str, node_id: str) -> dict[str, str]:
    return {"{nodeID}": node_id, "{executionID}": execution_id, "{jobID}": job_id}


def _ended(key: str, archive: bool) -> str:
    ending = ARCHIVE_SUFFIX if archive else "/"
    return key if key.endswith(ending) else key + ending


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    return value if isinstance(value, str) else ""


def _place(params: Mapping[str, Any], name: str) -> str:
    text = _text(params, name).strip()
    return text.rstrip("/") if name == "endpoint" else text
