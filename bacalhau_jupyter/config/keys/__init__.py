"""Every config key: its official name, kind, default and meaning, and what this version does with it."""

from __future__ import annotations

from bacalhau_jupyter.config.key import Key, Kind, zero
from bacalhau_jupyter.config.keys import api, compute, data, jobs, node, orchestrator, trust

__all__ = ["EMPTY_SECTIONS", "KEYS", "SECTIONS", "Key", "Kind", "find_key", "zero"]

KEYS: dict[str, Key] = {
    key.name: key
    for section in (
        api.SECTION,
        trust.SECTION,
        node.SECTION,
        orchestrator.SECTION,
        compute.SECTION,
        data.SECTION,
        jobs.DEFAULTS,
        jobs.ADMISSION,
    )
    for key in section
}
"""Exact key name → key."""

# Sections upstream shows though no key of theirs is known here.
EMPTY_SECTIONS = ("Engines.Types.WASM", "FeatureFlags")
SECTIONS = frozenset(
    prefix.lower()
    for name in [*KEYS, *(f"{section}." for section in EMPTY_SECTIONS)]
    for prefix in (".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1))
)
"""Every section name in lower case."""

_FOLDED = {name.lower(): key for name, key in KEYS.items()}


def find_key(name: str) -> Key | None:
    """Return the key of that name, ignoring case."""
    return _FOLDED.get(name.lower())
