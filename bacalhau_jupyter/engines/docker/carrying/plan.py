"""What of an image has to be sent to another Docker Engine. Pure.

An engine keeps a layer under its chain ID, which stands for the layer and all those below it. So what another engine
has is the longest common beginning of the image's layers and those of any image there. Such layers may be left out of
what it loads, if its images are in its own store: with containerd's it misses what is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Image:
    """An image of one engine.

    Attributes
    ----------
    id
        As the engine says it: ``sha256:…``.
    platform
        ``os/architecture``.
    layers
        Digests of its unpacked layers (diff IDs), lowest first.
    size
        Bytes of all layers.
    built
        Whether no registry has it, as far as its engine knows: it was built, imported or loaded there.
    """

    id: str
    platform: str
    layers: tuple[str, ...]
    size: int
    built: bool

    @classmethod
    def of(cls, inspection: Mapping[str, Any]) -> Image:
        """Read what an engine says of an image."""
        return cls(
            id=str(inspection.get("Id", "")),
            platform=f"{inspection.get('Os', '')}/{inspection.get('Architecture', '')}",
            layers=tuple(map(str, (inspection.get("RootFS") or {}).get("Layers") or ())),
            size=int(inspection.get("Size") or 0),
            built=not inspection.get("RepoDigests"),
        )


@dataclass(frozen=True)
class CopyPlan:
    """What is sent.

    Attributes
    ----------
    left_out
        Diff IDs of the layers that are not sent.
    size
        Bytes of the others.
    is_exact
        Whether the size is that; else it is the image's, and what is found to be left out is to be taken off.
    """

    left_out: frozenset[str]
    size: int
    is_exact: bool


def plan_copy(
    image: Image, there: Iterable[Sequence[str]], sizes: Sequence[int] | None, *, whole: bool = False
) -> CopyPlan:
    """Decide which layers are sent.

    Parameters
    ----------
    there
        The layers of each image that the other engine has.
    sizes
        Bytes of each layer; None where they are not known.
    whole
        Whether all must be sent.
    """
    shared = 0 if whole else max((_common(image.layers, layers) for layers in there), default=0)
    # The same layer further up has another chain ID, and is looked for in the file.
    left_out = frozenset(image.layers[:shared]) - frozenset(image.layers[shared:])
    if sizes is None:
        return CopyPlan(left_out, image.size, is_exact=not left_out)
    kept = (size for layer, size in zip(image.layers, sizes, strict=True) if layer not in left_out)
    return CopyPlan(left_out, sum(kept), is_exact=True)


def layer_sizes(image: Image, history: Sequence[Mapping[str, Any]]) -> tuple[int, ...] | None:
    """Return the size of each layer from the engine's history of the image (newest first); None: it can't be told.

    The history has steps without a layer, too, and does not say which those are.
    """
    sizes = tuple(size for step in reversed(history) if (size := int(step.get("Size") or 0)))
    return sizes if len(sizes) == len(image.layers) else None


def chain_ids(layers: Sequence[str]) -> tuple[str, ...]:
    """Return the chain ID of each layer, from their diff IDs."""
    chain: list[str] = []
    for layer in layers:
        digest = hashlib.sha256(f"{chain[-1]} {layer}".encode()).hexdigest() if chain else ""
        chain.append(f"sha256:{digest}" if digest else layer)
    return tuple(chain)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    for number, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            return number
    return min(len(one), len(other))
