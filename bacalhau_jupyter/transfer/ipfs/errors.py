"""Errors of an IPFS node, each as one sentence."""

from __future__ import annotations

import re

import msgspec

from bacalhau_jupyter.models.errors import (
    BacalhauError,
    EngineError,
    Forbidden,
    NetworkFailure,
    NotFound,
    TimedOut,
)
from bacalhau_jupyter.models.jobs.goduration import format_go_duration
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath

READ_TIMEOUT_S = 300.0
"""Seconds without a byte; how long the network is searched for content."""

MAX_RETRIES = 3

_NO_LINK = re.compile(r'no link named "(.*)" under (\w+)', re.DOTALL)
# What a proxy says when the node behind it is away.
_PASSING = (502, 503, 504)
_NOT_HERE = ("not found locally", "could not find")


def node_error(
    endpoint: str, command: str, path: IpfsPath | None, status: int, text: str, component: str
) -> BacalhauError:
    """Return the error that an answer other than 200 stands for."""
    message = _message(text)
    what = f" {path}" if path is not None else ""
    if status in (401, 403):
        return Forbidden(
            f"the IPFS node at {endpoint} refuses {command!r}",
            hint="its API.Authorizations, or a proxy before it, must let this machine call its RPC API",
            component=component,
        )
    if not message:
        return NetworkFailure(
            f"{endpoint} is not the RPC API of an IPFS node: it answers {command!r} with {status}",
            hint="the RPC API has port 5001 by default; 8080 is the gateway",
            component=component,
            retryable=status in _PASSING,
        )
    if missing := _NO_LINK.search(message):
        return NotFound(f"there is no {missing[1]!r} in the IPFS content{what}", component=component)
    if any(words in message for words in _NOT_HERE):
        return NotFound(f"the IPFS content{what} is not on the node at {endpoint}", component=component)
    if "deadline exceeded" in message:
        return waited_too_long(endpoint, path, None, component)
    return EngineError(
        f"the IPFS node at {endpoint} can't do {command!r}{what}: {message}", component=component
    )


def unreachable(endpoint: str, error: Exception, component: str) -> NetworkFailure:
    """Return the error for a connection that was not made, or broke."""
    reason = str(error) or type(error).__name__
    return NetworkFailure(
        f"the IPFS node at {endpoint} can't be reached, or closed the connection: {reason}",
        hint="check that `ipfs daemon` runs there and that the endpoint is its RPC API",
        component=component,
        retryable=True,
    )


def waited_too_long(
    endpoint: str, path: IpfsPath | None, timeout_s: float | None, component: str
) -> TimedOut:
    """Return the error for content that was not found in time."""
    within = "" if timeout_s is None else f" within {format_go_duration(timeout_s)}"
    if path is None:
        return TimedOut(f"the IPFS node at {endpoint} did not answer{within}", component=component)
    return TimedOut(
        f'IPFS storage provider was unable to retrieve content "{path}"'
        + (" in time" if timeout_s is None else f" before timeout {format_go_duration(timeout_s)}"),
        hint=f"no peer that the IPFS node at {endpoint} can reach has it; check that it is still pinned somewhere",
        component=component,
    )


def _message(text: str) -> str:
    """Return what a node says of its error; empty for an answer that is not a node's."""
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return ""
    message = decoded.get("Message") if isinstance(decoded, dict) else None
    return " ".join(str(message or "").split())[:300]
