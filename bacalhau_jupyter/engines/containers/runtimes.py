"""Which runtimes ``docker`` tasks may have on this node."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.models.errors import ConfigurationError

KEY = "Engines.Docker.Runtimes"
DOCKER, BUBBLEWRAP = "docker", "bubblewrap"
RUNTIMES = (DOCKER, BUBBLEWRAP)
"""What the key may name, first choice first."""


def chosen_runtimes(names: Sequence[str] | None) -> frozenset[str]:
    """Return the runtimes named; all of them when none is; the order counts for nothing.

    Raises
    ------
    ConfigurationError
        A name is unknown.
    """
    chosen = [name.strip().lower() for name in names or RUNTIMES]
    if unknown := [name for name in chosen if name not in RUNTIMES]:
        raise ConfigurationError(f"{KEY} does not know {unknown[0]!r}", hint="known: " + ", ".join(RUNTIMES))
    return frozenset(chosen)
