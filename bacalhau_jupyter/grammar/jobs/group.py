"""The group ``job``."""

from __future__ import annotations

from bacalhau_jupyter.grammar.root import bacalhau


@bacalhau.group()
def job() -> None:
    """Submit, inspect and stop jobs."""
