"""``docker …`` and ``wasm …``: jobs by their engine."""

from __future__ import annotations

from bacalhau_jupyter.grammar.engines import docker, wasm

__all__ = ["docker", "wasm"]
