"""Signed links to results and uploads: valid for a while, for everybody who has one.

Publisher `local` stores a reference that never goes stale (`SpecConfig` type ``local``). Whoever serves results
turns it into a signed URL at the moment it is read, with the address under which the caller reached us.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import Forbidden
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX, RESULTS_PATH

LOCAL = "local"
"""Type of the stored reference: params ``ExecutionID`` and ``NodeID``."""


EXPIRY_S = 3600.0
"""Seconds that a link lives by default."""

COMPONENT = "ResultSigner"
SENDING = "result upload"
"""What a link leads to by which a node sends the archive of one execution, by PUT and for nothing else."""
# What is signed says what it is for: a link to read a result can't send one, nor the other way round.
_PURPOSES = {SENDING: "bacalhau result upload v1"}
_PURPOSE = "bacalhau result v1"
_MIN_KEY_BYTES = 16
_FRESH = {
    "result": "ask for the results again to get a fresh link",
    "upload": "submit the job again with the file itself, or run the old one again",
    SENDING: "ask the orchestrator for a link again, while the execution runs",
}


def local_reference(execution_id: str, node_id: str) -> SpecConfig:
    """Return the reference that is stored for a locally published result."""
    return SpecConfig(type=LOCAL, params={"ExecutionID": execution_id, "NodeID": node_id})


def sign(path: str, expires_at: int, key: bytes, first_renewed_at: int = 0, *, what: str = "result") -> str:
    """Return the query string that opens ``path`` until ``expires_at`` (Unix seconds).

    A renewed link also says when it was renewed for the first time: ``expires=<until>-<first renewed>``.
    """
    expires = f"{expires_at}-{first_renewed_at}" if first_renewed_at else str(expires_at)
    return urlencode({"expires": expires, "signature": _signature(path, expires, key, what)})


def times_of(query: Mapping[str, str]) -> tuple[int, int]:
    """Return until when a link opens, and when it was first renewed (0: never), of a query that is signed."""
    until, _, first_renewed = query["expires"].partition("-")
    return int(until), int(first_renewed or 0)


def is_signed(path: str, query: Mapping[str, str], key: bytes, what: str = "result") -> bool:
    """Whether the query string of a request for ``path`` was signed with ``key``, be it over or not."""
    if "\n" in path:
        # It could hold a part of what is signed after it.
        return False
    expected = _signature(path, query.get("expires", ""), key, what)
    signature = query.get("signature", "")
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass"))


def verify(path: str, query: Mapping[str, str], key: bytes, now_ns: int, what: str = "result") -> None:
    """Check the query string of a request for ``path`` (decoded, without host and query).

    Parameters
    ----------
    what
        What the link leads to.

    Raises
    ------
    Forbidden
        The signature is missing or wrong, or its time is over.
    """
    if not is_signed(path, query, key, what):
        raise Forbidden(
            f"this {what} link is not signed by this node",
            hint=_FRESH[what],
        )
    # Only what we signed gets here, and we sign integers.
    until_ns = times_of(query)[0] * SECOND
    if now_ns >= until_ns:
        raise Forbidden(
            f"this {what} link expired at {rfc3339(until_ns)}",
            hint=_FRESH[what],
        )


def signed_reference(
    spec: SpecConfig, base_url: str, key: bytes, now_ns: int, expiry_s: float = EXPIRY_S
) -> SpecConfig:
    """Turn a stored local reference into ``urlDownload`` with a signed URL; others come back as they are.

    Parameters
    ----------
    base_url
        Scheme, host and port (and prefix) under which the caller reaches the API, without a slash at the end.
    now_ns
        Unix time in nanoseconds.
    expiry_s
        Seconds the link lives.
    """
    if not spec.is_type(LOCAL):
        return spec
    path = f"{RESULTS_PATH}/{spec.param('ExecutionID', '')}{ARCHIVE_SUFFIX}"
    query = sign(path, now_ns // SECOND + int(expiry_s), key)
    return SpecConfig(type="urlDownload", params={"URL": f"{base_url.rstrip('/')}{quote(path)}?{query}"})


def _signature(path: str, expires: str, key: bytes, what: str) -> str:
    if len(key) < _MIN_KEY_BYTES:
        raise ValueError(f"a signing key has at least {_MIN_KEY_BYTES} bytes")
    text = "\n".join((_PURPOSES.get(what, _PURPOSE), path, expires))
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
