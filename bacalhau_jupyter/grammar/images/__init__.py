"""``image list|pull|load|remove|clean``: images that a node keeps without a Docker Engine."""

from __future__ import annotations

from bacalhau_jupyter.grammar.images.verbs import image

__all__ = ["image"]
