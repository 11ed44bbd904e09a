"""What is kept of the nodes that have a secret of their own."""

from __future__ import annotations

from typing import Protocol


class Identities(Protocol):
    """The hashes of nodes' own secrets, by node ID."""

    async def get(self, node_id: str) -> str | None:
        """Return what is kept for a node; None where there is nothing."""
        ...

    async def put(self, node_id: str, secret_hash: str) -> str:
        """Keep a hash for a node that has none yet; return the one that is kept, which another call may have put."""
        ...


class MemoryIdentities:
    """Keeps them as long as the process lives."""

    def __init__(self) -> None:
        self._hashes: dict[str, str] = {}

    async def get(self, node_id: str) -> str | None:
        return self._hashes.get(node_id)

    async def put(self, node_id: str, secret_hash: str) -> str:
        return self._hashes.setdefault(node_id, secret_hash)
