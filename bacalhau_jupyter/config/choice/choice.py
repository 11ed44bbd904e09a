"""Which cluster the clients of this environment are pointed at: who decides it, and whether that changed."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bacalhau_jupyter.config.profiles import ProfileStore
from bacalhau_jupyter.config.repo import CLUSTER_VARIABLES, NODE_MARKER, Repo

PROFILE_VARIABLE = "BACALHAU_PROFILE"
_ADDRESS = ("BACALHAU_API_HOST", "BACALHAU_API_PORT")


def cluster_choice(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return a value that changes with the choice of the cluster: variables, the selected profile, its content."""
    environ = os.environ if environ is None else environ
    variables = (*CLUSTER_VARIABLES, PROFILE_VARIABLE)
    store = ProfileStore(Repo.locate(environ=environ).profiles_dir)
    return (*(environ.get(name, "") for name in variables), store.mark(environ.get(PROFILE_VARIABLE) or None))


def fixed_by(environ: Mapping[str, str] | None = None) -> str:
    """Return the variable, set by the user, that goes before every selected profile; empty where there is none."""
    environ = os.environ if environ is None else environ
    # Those that our Jupyter server left for its children decide nothing.
    names = (PROFILE_VARIABLE,) if environ.get(NODE_MARKER) else (PROFILE_VARIABLE, *_ADDRESS)
    return next((name for name in names if environ.get(name)), "")
