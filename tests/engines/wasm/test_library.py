"""Our declarations of wasmtime's C interface, compared with those of the package."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from bacalhau_jupyter.engines.wasm import runtime
from bacalhau_jupyter.engines.wasm.guest import library

pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
bindings = pytest.importorskip("wasmtime._bindings")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (library.Bytes, "wasm_byte_vec_t"),
        (library.Pointers, "wasm_valtype_vec_t"),
        (library.Func, "wasmtime_func"),
        (library.Instance, "wasmtime_instance"),
        (library.Memory, "wasmtime_memory"),
        (library.Extern, "wasmtime_extern"),
        (library.Value, "wasmtime_val"),
    ],
)
def test_structures_have_the_same_layout(ours: Any, theirs: str) -> None:
    other = getattr(bindings, theirs)
    assert ctypes.sizeof(ours) == ctypes.sizeof(other)
    offsets = [getattr(ours, name).offset for name, _ in ours._fields_]
    assert offsets == [getattr(other, name).offset for name, _ in other._fields_]


def shape(kind: Any) -> Any:
    """Return what of a type decides how it is passed: its size and kind, and not what it points to."""
    if kind is None:
        return None
    if isinstance(kind, type) and issubclass(kind, (ctypes._Pointer, ctypes.c_void_p, ctypes.c_char_p)):
        return "pointer"
    if isinstance(kind, type) and issubclass(kind, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        return "pointer"
    return ctypes.sizeof(kind)


@pytest.mark.parametrize("name", sorted(library.FUNCTIONS))
def test_functions_are_called_in_the_same_way(name: str) -> None:
    result, arguments = library.FUNCTIONS[name]
    theirs = getattr(bindings, f"_{name}")
    assert shape(result) == shape(theirs.restype)
    assert [shape(each) for each in arguments] == [shape(each) for each in theirs.argtypes]


def test_the_library_is_the_package_s() -> None:
    installed = runtime.find()
    assert str(installed.library) == bindings.dll._name
    assert installed.version.partition(".")[0] in ("49", "50")


def test_constants_are_the_package_s() -> None:
    import wasmtime._ffi as ffi

    assert ffi.WASMTIME_I32.value == library.I32
    assert ffi.WASMTIME_EXTERN_FUNC.value == library.EXTERN_FUNC
    assert ffi.WASMTIME_EXTERN_MEMORY.value == library.EXTERN_MEMORY
