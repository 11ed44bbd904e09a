"""The subjects that a node may use. Nothing else passes, so no node speaks for another one or reads its messages."""

from __future__ import annotations

from dataclasses import dataclass

from bacalhau_jupyter.transport.nats import subjects

OWN_INBOX = "_INBOX_ORCHESTRATOR"
"""Begins the reply subjects of the orchestrator: not below ``_INBOX``, which official nodes can read."""
SHARED_INBOX = "_INBOX"
"""Begins the reply subjects of every official node; its client library can't be told otherwise by a setting."""


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


def of_own_node(node_id: str) -> Permissions:
    """Return what a node of ours may do."""
    return _of_node(node_id, (), subjects.node_inbox(node_id))


def of_official_node(node_id: str) -> Permissions:
    """Return what an official node may do: it shares the inbox of all official ones, and tries the older protocol."""
    older = (f"node.management.{node_id}.>", f"bacalhau.global.compute.{node_id}.out.heartbeat")
    return _of_node(node_id, older, SHARED_INBOX)


def _of_node(node_id: str, older: tuple[str, ...], inbox: str) -> Permissions:
    return Permissions(
        publish=(
            subjects.control(node_id),
            subjects.reports(node_id),
            subjects.requests(node_id),
            *older,
            f"{subjects.stream_inbox(node_id)}*",
            subjects.stream_heartbeat(node_id),
        ),
        subscribe=(subjects.orders(node_id), f"node.compute.{node_id}.>", f"{inbox}.>"),
    )
