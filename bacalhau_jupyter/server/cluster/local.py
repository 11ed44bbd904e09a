"""How this Jupyter server finds its cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bacalhau_jupyter.client.connection.launcher import START_TIMEOUT_S, ensure_node
from bacalhau_jupyter.config.choice.inheritance import chosen_by_user
from bacalhau_jupyter.config.choice.resolving import resolve_endpoint
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import ServiceUnavailable


def find_cluster(
    repo: Repo,
    *,
    environ: Mapping[str, str],
    autostart: bool = True,
    options: Sequence[str] = (),
    timeout_s: float = START_TIMEOUT_S,
) -> Endpoint:
    """Return the connected cluster; the node of the repo is started when nothing else is configured.

    Parameters
    ----------
    repo
        The repo directory.
    environ
        The environment. Values that another Jupyter server left there for its children are not the user's choice.
    autostart
        Whether to start the node.
    options
        Further arguments of ``serve`` for a node that is started.
    timeout_s
        Seconds a node may take to start.

    Raises
    ------
    BacalhauError
        There is none: the configuration is unusable, or the node does not start.
    """
    endpoint = resolve_endpoint(repo, environ=chosen_by_user(environ))
    if endpoint is not None:
        return endpoint
    if not autostart:
        raise ServiceUnavailable(
            f"no node runs for {repo.path}, and BacalhauApp.autostart is off",
            hint="`bacalhau-jupyter serve --orchestrator --compute` starts one",
            retryable=True,
        )
    return Endpoint.of_record(repo.create(), ensure_node(repo, timeout_s=timeout_s, options=options))
