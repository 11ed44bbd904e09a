"""The subjects that a node may use. Nothing else passes, so no node speaks for another one or reads its messages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

OWN_INBOX = "_INBOX_ORCHESTRATOR"
"""Begins the reply subjects of the orchestrator: not below ``_INBOX``, which official nodes can read."""
SHARED_INBOX = "_INBOX"
"""Begins the reply subjects of every official node; its client library can't be told otherwise by a setting."""

_HASH_DIGITS = 22
_RESERVED = frozenset(".*>")
_LONGEST_ID = 255


@dataclass(frozen=True)
class Permissions:
    """What a connection may do.

    Attributes
    ----------
    publish, subscribe
        The subjects, with wildcards.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def subject_hash(node_id: str) -> str:
    """Return what stands for a node in subjects of ours: of one length, and with no sign that means anything there."""
    return hashlib.sha256(node_id.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]


def node_inbox(node_id: str) -> str:
    """Begin of the reply subjects of a node of ours."""
    return f"{SHARED_INBOX}_{subject_hash(node_id)}"


def stream_inbox(node_id: str) -> str:
    """Where a node publishes the frames of its log streams; a token for each stream follows."""
    return f"_SINBOX.{subject_hash(node_id)}"


def stream_heartbeat(node_id: str) -> str:
    """Where a node asks which of its log streams are still read."""
    return f"_HEARTBEAT.{stream_inbox(node_id)}"


def is_node_id(text: str) -> bool:
    """Whether a text can be a node's ID and one token of a subject, as official nodes check it."""
    return (
        0 < len(text) <= _LONGEST_ID and text.isprintable() and not _RESERVED & set(text) and " " not in text
    )


def of_own_node(node_id: str) -> Permissions:
    """Return what a node of ours may do."""
    return _of_node(node_id, ("ctrl", "msgs", "requests"), (), node_inbox(node_id))


def of_official_node(node_id: str) -> Permissions:
    """Return what an official node may do: it shares the inbox of all official ones, and tries the older protocol."""
    older = (f"node.management.{node_id}.>",)
    return _of_node(node_id, ("ctrl", "msgs", "requests", "heartbeat"), older, SHARED_INBOX)


def _of_node(node_id: str, outgoing: tuple[str, ...], older: tuple[str, ...], inbox: str) -> Permissions:
    base = f"bacalhau.global.compute.{node_id}"
    return Permissions(
        publish=(
            *(f"{base}.out.{name}" for name in outgoing),
            *older,
            f"{stream_inbox(node_id)}.*",
            stream_heartbeat(node_id),
        ),
        subscribe=(f"{base}.in.>", f"node.compute.{node_id}.>", f"{inbox}.>"),
    )
