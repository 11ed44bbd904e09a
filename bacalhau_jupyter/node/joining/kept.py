"""Which clusters this machine is offered to, as the repo keeps it (0600): a restarted node joins them again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bacalhau_jupyter.config.files import write_atomic
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere
from bacalhau_jupyter.node.orders import OrderFile

_AUTHORITIES = "node-authorities"


class KeptCluster(msgspec.Struct, frozen=True):
    """A cluster that this machine joined.

    Attributes
    ----------
    url
        Its address.
    node_id
        What the machine is called there.
    token, authority
        Its token, and the PEM of its authority; both are gone once it was left.
    is_left
        Whether it was left: only the ID is kept then, and under which results of that time lie.
    """

    url: str
    node_id: str
    token: str = ""
    authority: str = ""
    is_left: bool = False

    def __repr__(self) -> str:
        return f"KeptCluster(url={self.url!r}, node_id={self.node_id!r}, is_left={self.is_left!r})"


class KeptClusters:
    """What the repo knows of them, also of those that were left. All methods block.

    Parameters
    ----------
    repo
        The repo directory.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._file = OrderFile(
            repo.path / "joined-clusters.json",
            list[KeptCluster],
            purpose="to which clusters this machine is offered",
            remedy="move it away, and join those clusters again",
        )

    def read(self) -> list[KeptCluster]:
        """Return all clusters; raises ConfigurationError where the file can't be understood."""
        return self._file.read() or []

    def put(self, cluster: KeptCluster) -> None:
        """Keep a cluster in place of what was kept under its address.

        Raises
        ------
        IOFailure
            It can't be written; everything is as it was.
        """
        self._file.write([*(each for each in self.read() if each.url != cluster.url), cluster])

    def elsewhere(self, cluster: KeptCluster) -> Elsewhere:
        """Return how to reach a cluster; its authority lies in a file then.

        Raises
        ------
        BacalhauError
            It has no address, or the file can't be written.
        """
        ca_file: Path | None = None
        if cluster.authority:
            self._repo.directory(self._repo.path / _AUTHORITIES)
            ca_file = self._authority_file(cluster)
            write_atomic(ca_file, cluster.authority)
        there = Elsewhere((cluster.url,), cluster.token, ca_file)
        there.check()
        return there

    def forget_authority(self, cluster: KeptCluster) -> None:
        """Remove the file that `elsewhere` wrote, if there is one."""
        self._authority_file(cluster).unlink(missing_ok=True)

    def _authority_file(self, cluster: KeptCluster) -> Path:
        return self._repo.path / _AUTHORITIES / f"{cluster.node_id}.pem"
