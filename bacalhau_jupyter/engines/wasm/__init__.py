"""The ``wasm`` engine: WebAssembly modules on wasmtime, one process of ours per execution.

`WasmEngine` is loaded on first use: the process of every execution imports modules of this package, and its start must
stay in the order of ten milliseconds.
"""

from __future__ import annotations

COMPONENT = "WASM"
"""Named in the errors of this room (`models.errors`)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.wasm.engine import WasmEngine

__all__ = ["WasmEngine"]


def __getattr__(name: str) -> object:
    if name != "WasmEngine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import bacalhau_jupyter.engines.wasm.engine as module

    return module.WasmEngine
