"""Rows of nodes."""

from __future__ import annotations

import sqlite3

from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.records.node import NodeState


def put(connection: sqlite3.Connection, node: NodeState) -> None:
    """Store a node under its ID."""
    connection.execute("INSERT OR REPLACE INTO nodes VALUES (?,?)", (node.info.node_id, encode(node)))


def delete(connection: sqlite3.Connection, node_id: str) -> None:
    """Forget a node, and which secret was its own: it may have lost that."""
    connection.execute("DELETE FROM nodes WHERE id=?", (node_id,))
    connection.execute("DELETE FROM identities WHERE node_id=?", (node_id,))


def free(connection: sqlite3.Connection, node_id: str) -> bool:
    """Forget the secret of an ID that no node has; return whether there was one."""
    return connection.execute("DELETE FROM identities WHERE node_id=?", (node_id,)).rowcount > 0


def every(connection: sqlite3.Connection) -> list[NodeState]:
    """Return all nodes by ID."""
    return [
        decode_exact(row[0], NodeState) for row in connection.execute("SELECT state FROM nodes ORDER BY id")
    ]
