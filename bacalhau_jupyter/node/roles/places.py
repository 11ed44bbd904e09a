"""Where the compute halves of a node process lie: its own, those for orchestrators elsewhere, and Docker hosts."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere
from bacalhau_jupyter.node.roles.compute import FarHost, Place


class Places:
    """Makes the places of a node's compute halves.

    Parameters
    ----------
    config, repo
        Of the node; the repo holds every place.
    node_id
        The node's own ID.
    clock
        Dates the problems of halves that have a list of their own.
    """

    def __init__(self, config: Config, repo: Repo, node_id: str, clock: Clock) -> None:
        self._config = config
        self._repo = repo
        self._node_id = node_id
        self._clock = clock

    def own(self, problems: Problems, elsewhere: Elsewhere | None) -> Place:
        """Return the place of the node's own half.

        Parameters
        ----------
        problems
            The node's own list.
        elsewhere
            The orchestrator that it joins, where that is not the one of this process.
        """
        return Place(
            self._node_id,
            self._config,
            settings.compute_dir(self._config, self._repo),
            settings.database_path(self._config, self._repo.compute_db),
            problems,
            keeps_room=True,
            elsewhere=elsewhere,
            shares_machine=True,
        )

    def joined(self, node_id: str, there: Elsewhere) -> Place:
        """Return the place of a half that takes jobs of another cluster beside those of this node's own."""
        directory = settings.joined_dir(self._config, self._repo, node_id)
        return Place(
            node_id,
            self._config,
            directory,
            None if self._config["Node.Ephemeral"] else directory / "state.sqlite",
            Problems(self._clock),
            elsewhere=there,
            shares_machine=True,
        )

    def host(self, name: str, far: FarHost) -> Place:
        """Return the place of a half that runs the jobs of a Docker host elsewhere."""
        directory = settings.host_dir(self._config, self._repo, name)
        return Place(
            self.host_node_id(name),
            self._config,
            directory,
            None if self._config["Node.Ephemeral"] else directory / "state.sqlite",
            Problems(self._clock),
            far=far,
        )

    def host_directory(self, name: str) -> Path:
        """Return what is kept of a host, the place of its half included."""
        return settings.host_dir(self._config, self._repo, name).parent

    def host_node_id(self, name: str) -> str:
        """Return the ID of a host's compute node."""
        return f"{self._node_id}-{name}"

    def former_hosts(self) -> list[tuple[str, str, Path]]:
        """Return the name, the node ID and the directory of every host that has ever run a job; blocks."""
        try:
            names = sorted(path.name for path in self.host_directory("x").parent.iterdir() if path.is_dir())
        except OSError:
            return []
        return [(name, self.host_node_id(name), self.host_directory(name) / "compute") for name in names]
