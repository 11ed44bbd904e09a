"""The ways to confine a job, one module each, best first."""

from __future__ import annotations

from bacalhau_jupyter.engines.process.launch import Tier
from bacalhau_jupyter.engines.process.tiers.bubblewrap import Bubblewrap
from bacalhau_jupyter.engines.process.tiers.restricted import Restricted

__all__ = ["Bubblewrap", "Restricted", "all_tiers"]


def all_tiers() -> list[Tier]:
    """Return every tier, in order of preference."""
    return [Bubblewrap(), Restricted()]
