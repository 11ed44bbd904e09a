"""Names that are matched without regard to case: parameters of specs, members of errors, config keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def folded(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members by their names in lower case; of a name in two spellings, the last value counts.

    Every reader uses this, so that no two of them see different values.
    """
    return {str(name).lower(): value for name, value in members.items()}
