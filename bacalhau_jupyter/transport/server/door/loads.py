"""Which connections send so much that the orchestrator falls behind: the server's own counts, compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

BYTES_PER_S, MESSAGES_PER_S = 2 << 20, 500.0
"""What a client may send while the orchestrator is behind. Reports of a busy node are some 200 messages a second."""
LEAST_S = 0.2
"""Seconds between two counts that can be compared."""


@dataclass(frozen=True)
class Count:
    """What a connection has sent so far."""

    client: int
    messages: int
    octets: int


def counts_of(answer: bytes) -> tuple[list[Count], int]:
    """Read the server's answer to a question about connections: what each has sent, and what waits for all of them."""
    try:
        connections = json.loads(answer)["data"]["connections"]
        counts = [
            Count(int(each["cid"]), int(each["in_msgs"]), int(each["in_bytes"])) for each in connections
        ]
        return counts, sum(int(each["pending_bytes"]) for each in connections)
    except (ValueError, LookupError, TypeError):
        return [], 0


def server_of(answer: bytes) -> str:
    """Read the key of the server that answered such a question; empty where it does not say."""
    try:
        return str(json.loads(answer)["server"]["id"])
    except (ValueError, LookupError, TypeError):
        return ""


def too_much(before: Iterable[Count], after: Iterable[Count], passed_s: float) -> list[int]:
    """Return the connections that send more than they may, by two counts."""
    earlier: dict[int, Count] = {each.client: each for each in before}
    seconds = max(passed_s, LEAST_S)
    heavy = []
    for each in after:
        since = earlier.get(each.client, Count(each.client, 0, 0))
        if (
            each.octets - since.octets > BYTES_PER_S * seconds
            or each.messages - since.messages > MESSAGES_PER_S * seconds
        ):
            heavy.append(each.client)
    return heavy


def question(**options: Any) -> bytes:
    """Return a question about connections."""
    return json.dumps(options).encode()
