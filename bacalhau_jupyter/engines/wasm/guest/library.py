"""wasmtime's C interface, as far as we use it, by ctypes.

The package's own Python modules declare all of it, which takes 70 ms of every execution; these few declarations take
one. A test compares them with the package's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

Pointer = ctypes.c_void_p

EXTERN_FUNC = 0
EXTERN_MEMORY = 3
"""Kinds of ``wasmtime_extern_t``."""
TYPE_FUNC = 0
"""Kind of ``wasm_externtype_t``."""
I32 = 0


class Bytes(ctypes.Structure):
    """``wasm_byte_vec_t``."""

    _fields_ = (("size", ctypes.c_size_t), ("data", Pointer))


class Pointers(ctypes.Structure):
    """A vector of pointers: imports, exports, types of values."""

    _fields_ = (("size", ctypes.c_size_t), ("data", ctypes.POINTER(Pointer)))


class Func(ctypes.Structure):
    """``wasmtime_func_t``."""

    _fields_ = (("store_id", ctypes.c_uint64), ("private", Pointer))


class Instance(ctypes.Structure):
    """``wasmtime_instance_t``."""

    _fields_ = (("store_id", ctypes.c_uint64), ("private", ctypes.c_size_t))


class _MemoryPart(ctypes.Structure):
    _fields_ = (("store_id", ctypes.c_uint64), ("private1", ctypes.c_uint32))


class Memory(ctypes.Structure):
    """``wasmtime_memory_t``."""

    _fields_ = (("part", _MemoryPart), ("private2", ctypes.c_uint32))


class _ExternUnion(ctypes.Union):
    # The package knows further members; none is larger than a memory.
    _fields_ = (("func", Func), ("memory", Memory))


class Extern(ctypes.Structure):
    """``wasmtime_extern_t``."""

    _fields_ = (("kind", ctypes.c_uint8), ("of", _ExternUnion))


class _Reference(ctypes.Structure):
    _fields_ = (
        ("store_id", ctypes.c_uint64),
        ("private1", ctypes.c_uint32),
        ("private2", ctypes.c_uint32),
        ("private3", Pointer),
    )


class _ValueUnion(ctypes.Union):
    _fields_ = (
        ("i32", ctypes.c_int32),
        ("i64", ctypes.c_int64),
        ("f64", ctypes.c_double),
        ("reference", _Reference),
        ("v128", ctypes.c_uint8 * 16),
    )


class Value(ctypes.Structure):
    """``wasmtime_val_t``."""

    _fields_ = (("kind", ctypes.c_uint8), ("of", _ValueUnion))


Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    Pointer,
    Pointer,
    ctypes.POINTER(Value),
    ctypes.c_size_t,
    ctypes.POINTER(Value),
    ctypes.c_size_t,
)
"""``wasmtime_func_callback_t``: environment, caller, arguments, results; returns a trap or nothing."""

_Text, _Size, _Bool = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_bool
_Out = ctypes.POINTER(Pointer)
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "wasi_config_new": (Pointer, ()),
    "wasi_config_set_argv": (_Bool, (Pointer, _Size, ctypes.POINTER(_Text))),
    "wasi_config_set_env": (_Bool, (Pointer, _Size, ctypes.POINTER(_Text), ctypes.POINTER(_Text))),
    "wasi_config_inherit_stdout": (None, (Pointer,)),
    "wasi_config_inherit_stderr": (None, (Pointer,)),
    "wasi_config_preopen_dir": (_Bool, (Pointer, _Text, _Text, _Bool)),
    "wasm_byte_vec_delete": (None, (ctypes.POINTER(Bytes),)),
    "wasm_engine_new": (Pointer, ()),
    "wasm_exporttype_name": (ctypes.POINTER(Bytes), (Pointer,)),
    "wasm_exporttype_type": (Pointer, (Pointer,)),
    "wasm_externtype_as_functype_const": (Pointer, (Pointer,)),
    "wasm_externtype_kind": (ctypes.c_uint8, (Pointer,)),
    "wasm_functype_new": (Pointer, (ctypes.POINTER(Pointers), ctypes.POINTER(Pointers))),
    "wasm_functype_params": (ctypes.POINTER(Pointers), (Pointer,)),
    "wasm_functype_results": (ctypes.POINTER(Pointers), (Pointer,)),
    "wasm_importtype_module": (ctypes.POINTER(Bytes), (Pointer,)),
    "wasm_trap_message": (None, (Pointer, ctypes.POINTER(Bytes))),
    "wasm_valtype_new": (Pointer, (ctypes.c_uint8,)),
    "wasm_valtype_vec_new": (None, (ctypes.POINTER(Pointers), _Size, _Out)),
    "wasmtime_caller_context": (Pointer, (Pointer,)),
    "wasmtime_caller_export_get": (_Bool, (Pointer, _Text, _Size, ctypes.POINTER(Extern))),
    "wasmtime_context_set_wasi": (Pointer, (Pointer, Pointer)),
    "wasmtime_error_message": (None, (Pointer, ctypes.POINTER(Bytes))),
    "wasmtime_func_call": (
        Pointer,
        (Pointer, ctypes.POINTER(Func), ctypes.POINTER(Value), _Size, ctypes.POINTER(Value), _Size, _Out),
    ),
    "wasmtime_instance_export_get": (
        _Bool,
        (Pointer, ctypes.POINTER(Instance), _Text, _Size, ctypes.POINTER(Extern)),
    ),
    "wasmtime_linker_allow_shadowing": (None, (Pointer, _Bool)),
    "wasmtime_linker_define_func": (
        Pointer,
        (Pointer, _Text, _Size, _Text, _Size, Pointer, Callback, Pointer, Pointer),
    ),
    "wasmtime_linker_define_instance": (
        Pointer,
        (Pointer, Pointer, _Text, _Size, ctypes.POINTER(Instance)),
    ),
    "wasmtime_linker_define_wasi": (Pointer, (Pointer,)),
    "wasmtime_linker_instantiate": (Pointer, (Pointer, Pointer, Pointer, ctypes.POINTER(Instance), _Out)),
    "wasmtime_linker_new": (Pointer, (Pointer,)),
    "wasmtime_memory_data": (Pointer, (Pointer, ctypes.POINTER(Memory))),
    "wasmtime_memory_data_size": (_Size, (Pointer, ctypes.POINTER(Memory))),
    "wasmtime_module_deserialize_file": (Pointer, (Pointer, _Text, _Out)),
    "wasmtime_module_exports": (None, (Pointer, ctypes.POINTER(Pointers))),
    "wasmtime_module_imports": (None, (Pointer, ctypes.POINTER(Pointers))),
    "wasmtime_module_new": (Pointer, (Pointer, Pointer, _Size, _Out)),
    "wasmtime_module_serialize": (Pointer, (Pointer, ctypes.POINTER(Bytes))),
    "wasmtime_store_context": (Pointer, (Pointer,)),
    "wasmtime_store_limiter": (None, (Pointer, *(ctypes.c_int64,) * 5)),
    "wasmtime_store_new": (Pointer, (Pointer, Pointer, Pointer)),
}
"""What is called: its result and its arguments."""


class Failed(Exception):
    """wasmtime refuses; the text is its own."""


class Library:
    """The loaded library.

    Parameters
    ----------
    path
        Its file.

    Raises
    ------
    OSError
        It can't be loaded.
    AttributeError
        It is of a version that lacks a function.
    """

    def __init__(self, path: str) -> None:
        loaded = ctypes.CDLL(path)
        self._functions: dict[str, Callable[..., Any]] = {}
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
            self._functions[name] = function

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function whose result is no error."""
        return self._functions[name](*arguments)

    def check(self, name: str, *arguments: Any) -> None:
        """Call a function that returns an error, or nothing.

        Raises
        ------
        Failed
            It returned one.
        """
        error = self._functions[name](*arguments)
        if error:
            raise Failed(self.message(error))

    def message(self, error: Any) -> str:
        """Return the text of an error."""
        text = Bytes()
        self._functions["wasmtime_error_message"](error, ctypes.byref(text))
        return content(text).decode(errors="replace")

    def trap_message(self, trap: Any) -> str:
        """Return the text of a trap."""
        text = Bytes()
        self._functions["wasm_trap_message"](trap, ctypes.byref(text))
        return content(text).decode(errors="replace").rstrip("\0")


def define_function(
    library: Library, linker: Any, name: tuple[str, str], counts: tuple[int, int], callback: Any
) -> None:
    """Offer a function of ours to modules.

    Parameters
    ----------
    name
        Of its module, and its own.
    counts
        How many 32-bit numbers it takes and returns.
    callback
        A `Callback`, which has to stay alive.

    Raises
    ------
    Failed
        It is taken.
    """
    vectors = (Pointers(), Pointers())
    for vector, count in zip(vectors, counts, strict=True):
        types = (Pointer * count)(*(library.call("wasm_valtype_new", I32) for _ in range(count)))
        library.call("wasm_valtype_vec_new", ctypes.byref(vector), count, types)
    kind = library.call("wasm_functype_new", ctypes.byref(vectors[0]), ctypes.byref(vectors[1]))
    module, function = (text.encode() for text in name)
    library.check(
        "wasmtime_linker_define_func",
        linker,
        module,
        len(module),
        function,
        len(function),
        kind,
        callback,
        None,
        None,
    )


def content(vector: Bytes) -> bytes:
    """Return what a vector holds."""
    return ctypes.string_at(vector.data, vector.size) if vector.size else b""
