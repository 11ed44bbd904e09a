"""What may be uploaded, what becomes of it, and the errors for what finds no room."""

from __future__ import annotations

from dataclasses import dataclass

from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.models.errors import BadRequest, IOFailure, ResourceExhausted
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import is_text
from bacalhau_jupyter.models.records.uploads import MAX_NAME, UNKNOWN, BeginUpload, is_sha256

KEY = "Uploads.Quota"


@dataclass(frozen=True)
class Kept:
    """A complete upload."""

    sha256: str
    name: str
    size: int


def check_order(order: BeginUpload) -> None:
    """Check what somebody wants to upload.

    Raises
    ------
    BadRequest
        The name, size or hash is not one.
    """
    name = order.name
    plain = is_text(name) and name.isprintable() and "/" not in name and "\\" not in name
    if not plain or name in ("", ".", "..") or len(name.encode()) > MAX_NAME:
        raise BadRequest(f"an upload can't be called {name[:80]!r}", hint="its name is a plain file name")
    if order.size < 0 and not (order.size == UNKNOWN and order.local):
        raise BadRequest(f"an upload can't have {order.size} bytes")
    if order.sha256 and not is_sha256(order.sha256):
        raise BadRequest("the hash of an upload is a SHA-256 as 64 lower-case hexadecimal digits")


def disk_full(name: str) -> IOFailure:
    """Return the error for a disk without room."""
    return IOFailure(
        f"there is no room on the node's disk for the upload {name}",
        hint="free some space there, or put the data where the node can read it (file://, https://, s3://)",
        status=507,
    )


def failed(error: OSError, name: str, work: str) -> IOFailure:
    """Return the error for an upload that could not be ``written`` or ``kept``."""
    if is_full(error):
        return disk_full(name)
    return IOFailure(f"the upload {name} could not be {work}: {error.strerror}")


def no_room(name: str, needed: int, quota: int, taken: int) -> ResourceExhausted:
    """Return the error for an upload that does not fit into the quota."""
    return ResourceExhausted(
        f"there is no room for the upload {name} ({format_bytes(needed)}): uploads may take {format_bytes(quota)}, "
        f"and {format_bytes(taken)} are being uploaded or in use",
        hint=f"wait until jobs that use uploads are over; the node's owner can raise -c {KEY}=…",
    )
