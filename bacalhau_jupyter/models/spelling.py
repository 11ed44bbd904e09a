"""Whether a body means the same to a strict reader, such as a policy, as to us, who take names in any case."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.codec import other_spellings

_FREE = "Params"
"""Members whose own members engines and publishers read in any case."""


def misleading_names(plain: object, kind: type) -> list[str]:
    """Return the names in plain data by which a strict reader could be misled, sorted.

    Those are members of a model that are not spelled as in it, and parameters that are there in two spellings.
    """
    return sorted({*other_spellings(plain, kind), *_twice(plain, is_free=False)})


def _twice(value: Any, *, is_free: bool) -> set[str]:
    names: set[str] = set()
    if isinstance(value, dict):
        if is_free and len(folded(value)) < len(value):
            lowered = [str(name).lower() for name in value]
            names |= {str(name) for name in value if lowered.count(str(name).lower()) > 1}
        for name, member in value.items():
            names |= _twice(member, is_free=is_free or name == _FREE)
    elif isinstance(value, list):
        for member in value:
            names |= _twice(member, is_free=is_free)
    return names
