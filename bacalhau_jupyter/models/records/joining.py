"""Other clusters to which a node offers its machine."""

from __future__ import annotations

import msgspec

from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.records.cluster import PATH, JoinedCluster

FEATURE = "join-clusters"
"""With this feature the owner of a node can offer its machine to other clusters, too."""

JOINED_PATH = f"{PATH}/joined"


class JoinCluster(Wire):
    """Asks a node to take jobs of another orchestrator, too.

    Attributes
    ----------
    url
        ``nats://HOST:PORT`` of that orchestrator.
    token
        The token of its cluster; empty where it asks for none. Never told again.
    authority
        PEM of the authority behind its certificate; empty for those that the system trusts.
    name
        ID of this machine's node in that cluster; empty for a new one, or that of the last time.
    """

    url: str = msgspec.field(default="", name="URL")
    token: str = ""
    authority: str = ""
    name: str = ""

    def __repr__(self) -> str:
        return f"JoinCluster(url={self.url!r}, name={self.name!r})"


class LeaveCluster(Wire):
    """Asks a node to take no more jobs of another orchestrator; what runs for it is stopped."""

    url: str = msgspec.field(default="", name="URL")


class JoinedClusters(Wire):
    """All clusters to which a node offers its machine."""

    items: list[JoinedCluster] = always([])
