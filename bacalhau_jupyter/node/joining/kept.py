"""Which clusters this machine is offered to, as the repo keeps it (0600): a restarted node joins them again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bacalhau_jupyter.config.files import write_atomic
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere

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
    """The file.

    Parameters
    ----------
    repo
        The repo directory.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._path = repo.path / "joined-clusters.json"

    def read(self) -> list[KeptCluster]:
        """Return all clusters, also those that were left. Blocks.

        Raises
        ------
        ConfigurationError
            The file can't be understood.
        """
        try:
            return msgspec.json.decode(read_text(self._path), type=list[KeptCluster])
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self._path}, which says to which clusters this machine is offered, can't be read",
                hint="move it away, and join those clusters again",
                component="Cluster",
            ) from error

    def put(self, cluster: KeptCluster) -> None:
        """Keep a cluster in place of what was kept under its address. Blocks.

        Raises
        ------
        IOFailure
            It can't be written; everything is as it was.
        """
        others = [each for each in self.read() if each.url != cluster.url]
        write_atomic(self._path, msgspec.json.encode([*others, cluster]).decode() + "\n")

    def elsewhere(self, cluster: KeptCluster) -> Elsewhere:
        """Return how to reach a cluster; its authority lies in a file then. Blocks.

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
        """Remove the file that `elsewhere` wrote, if there is one. Blocks."""
        self._authority_file(cluster).unlink(missing_ok=True)

    def _authority_file(self, cluster: KeptCluster) -> Path:
        return self._repo.path / _AUTHORITIES / f"{file_word(cluster.node_id)}.pem"


def file_word(node_id: str) -> str:
    """Return what stands for a node ID in names of files."""
    # IDs may hold a slash.
    return node_id.encode().hex() if "/" in node_id else node_id
