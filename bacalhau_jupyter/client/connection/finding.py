"""Which cluster a client talks to: found when it is first needed, and anew after a lost connection."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from bacalhau_jupyter.models.errors import NetworkFailure

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.config.repo import Repo


class Finder(Protocol):
    """Finds a client's cluster. Blocking; called from any thread."""

    @property
    def is_fixed(self) -> bool:
        """Whether there is only one address: a lost connection is not looked up again."""
        ...

    def find(self, lost: Endpoint | None, *, start: bool) -> Endpoint:
        """Return where the cluster is.

        Parameters
        ----------
        lost
            Where it was until now; None at first.
        start
            Whether a node may be started.

        Raises
        ------
        BacalhauError
            No cluster can be found.
        """
        ...


@dataclass(frozen=True)
class UsualFinder:
    """Finds the cluster as everything of ours does: an address, the environment, a profile, the user's own node.

    Attributes
    ----------
    repo
        Repo directory of the node and the profiles.
    url, api_key
        An address that is given, and the credential for it.
    context
        Name of a saved profile.
    starts
        Whether it may start a node.
    is_repo_given
        Whether a person chose the repo directory; else the one of the Jupyter server goes first.
    overrides
        Config keys (``Key=Value``) or files that outrank variables and the config file.
    """

    repo: Repo
    url: str | None = None
    api_key: str | None = None
    context: str | None = None
    starts: bool = True
    is_repo_given: bool = False
    overrides: tuple[str, ...] = ()

    @property
    def is_fixed(self) -> bool:
        return self.url is not None

    def find(self, lost: Endpoint | None, *, start: bool) -> Endpoint:
        own = (f"DataDir={self.repo.path}",) if self.is_repo_given else ()
        return replace(self._find(lost, start=start), overrides=(*own, *self.overrides))

    def _find(self, lost: Endpoint | None, *, start: bool) -> Endpoint:
        from bacalhau_jupyter.config.choice.resolving import endpoint_of_url, own_endpoint, resolve_endpoint
        from bacalhau_jupyter.config.endpoint import LOCAL_NODE

        if self.url is not None:
            return endpoint_of_url(self.repo, self.url, self.api_key, self.overrides)
        if lost is not None and lost.source == LOCAL_NODE:
            endpoint = own_endpoint(self.repo)
        else:
            # A job stays with its cluster, whatever is chosen meanwhile.
            context = lost.profile if lost is not None and lost.profile else self.context
            endpoint = resolve_endpoint(self.repo, context, overrides=self.overrides)
        return endpoint or self._own_node(start=start)

    def _own_node(self, *, start: bool) -> Endpoint:
        from bacalhau_jupyter.client.connection.launcher import ensure_node
        from bacalhau_jupyter.config.endpoint import Endpoint
        from bacalhau_jupyter.config.repo import NODE_MARKER, Repo

        if not (self.starts and start):
            raise NetworkFailure(
                f"no node is running for {self.repo.path}",
                hint="`bacalhau-jupyter serve --orchestrator --compute` starts one",
                component="Client",
            )
        # A kernel started by Jupyter uses the node of that server's repo, even after that node went away.
        marker = os.environ.get(NODE_MARKER, "")
        repo = Repo(marker) if marker and not self.is_repo_given else self.repo
        return Endpoint.of_record(repo, ensure_node(repo))
