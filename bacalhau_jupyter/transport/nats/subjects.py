"""The subjects of the protocol: who publishes what where."""

from __future__ import annotations

import hashlib
import re

_COMPUTE = "bacalhau.global.compute"

CONTROL = f"{_COMPUTE}.*.out.ctrl"
MESSAGES = f"{_COMPUTE}.*.out.msgs"
REQUESTS = f"{_COMPUTE}.*.out.requests"
REGISTRATIONS = "node.management.*.RegisterNode/v1"
"""What an orchestrator listens to: handshakes and heartbeats, reports, questions of publishers, the old protocol."""

STREAMS = "_SINBOX.*.*"
STREAM_HEARTBEATS = "_HEARTBEAT._SINBOX.*"
"""And to the frames of log streams, and the heartbeats of their writers."""

_REPLY = re.compile(r"_INBOX(_[A-Za-z0-9_-]+)?(\.[A-Za-z0-9_=/+-]+){1,3}")
_STREAM_REPLY = re.compile(r"_SINBOX\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_STREAM_HEARTBEAT = re.compile(r"_HEARTBEAT\._SINBOX\.[A-Za-z0-9_-]+")


def control(node_id: str) -> str:
    """Return where a node asks its orchestrator."""
    return f"{_COMPUTE}.{node_id}.out.ctrl"


def reports(node_id: str) -> str:
    """Return where a node reports to its orchestrator."""
    return f"{_COMPUTE}.{node_id}.out.msgs"


def requests(node_id: str) -> str:
    """Return where a node asks for a place to publish to."""
    return f"{_COMPUTE}.{node_id}.out.requests"


def orders(node_id: str) -> str:
    """Return where a node takes messages of its orchestrator."""
    return f"{_COMPUTE}.{node_id}.in.msgs"


def logs(node_id: str) -> str:
    """Return where a node takes requests for log streams."""
    return f"node.compute.{node_id}.ExecutionLogs/v1"


def subject_hash(node_id: str) -> str:
    """Return the word that stands for a node where its ID must not be readable: the server lets only it use that."""
    return hashlib.sha256(node_id.encode()).hexdigest()[:22]


def stream_inbox(node_id: str) -> str:
    """Return where frames of a node's log streams go, without the last word."""
    return f"_SINBOX.{subject_hash(node_id)}."


def stream_heartbeat(node_id: str) -> str:
    """Return where a node asks whether its log streams are still read."""
    return f"_HEARTBEAT._SINBOX.{subject_hash(node_id)}"


def node_inbox(node_id: str) -> str:
    """Return the prefix of the inboxes of a node of ours: official nodes can't listen there."""
    return f"_INBOX_{subject_hash(node_id)}"


def sender(subject: str) -> str:
    """Return the ID of the node that publishes on a subject of the orchestrator's; empty where it is another one."""
    words = subject.split(".")
    if subject.startswith(f"{_COMPUTE}.") and len(words) == 6:
        return words[3]
    return words[2] if subject.startswith("node.") and len(words) == 4 else ""


def is_reply(subject: str) -> bool:
    """Whether an answer may be published there: only to inboxes, never to the subject of another node."""
    return _REPLY.fullmatch(subject) is not None


def is_stream_reply(subject: str) -> bool:
    """Whether log frames may be published there."""
    return _STREAM_REPLY.fullmatch(subject) is not None


def is_stream_heartbeat(subject: str) -> bool:
    """Whether a reader of log streams may be asked there."""
    return _STREAM_HEARTBEAT.fullmatch(subject) is not None
