"""The ways to confine a job, one module each, best first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bacalhau_jupyter.engines.process.launch import Tier
from bacalhau_jupyter.engines.process.tiers.bubblewrap import Bubblewrap
from bacalhau_jupyter.engines.process.tiers.restricted import Restricted
from bacalhau_jupyter.models.errors import ConfigurationError

__all__ = ["TIERS", "Bubblewrap", "Restricted", "chosen_tiers"]

TIERS: dict[str, Callable[[], Tier]] = {"bubblewrap": Bubblewrap, "landlock": Restricted}
"""What `Engines.Process.Tiers` may name, best first."""


def chosen_tiers(names: Sequence[str] | None) -> list[Tier]:
    """Return the tiers named, in that order; all of them, best first, when none is.

    Raises
    ------
    ConfigurationError
        A name is unknown.
    """
    tier_names = [name.strip().lower() for name in names or TIERS]
    if unknown := [name for name in tier_names if name not in TIERS]:
        raise ConfigurationError(
            f"Engines.Process.Tiers does not know {unknown[0]!r}",
            hint="known: " + ", ".join(TIERS),
        )
    return [TIERS[name]() for name in tier_names]
