"""The process of one execution: it loads compiled modules, is confined, and only then runs any code of theirs.

Runs in the child of the supervisor, in the place of a program (`Plan.runner`).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

from bacalhau_jupyter.engines.supervised.supervisor.confine import FIRST_FILE
from bacalhau_jupyter.engines.wasm.guest.library import (
    EXTERN_FUNC,
    EXTERN_MEMORY,
    Callback,
    Extern,
    Failed,
    Func,
    Instance,
    Library,
    Memory,
    Value,
    define_function,
)

if TYPE_CHECKING:
    import signal as _signal

    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
else:
    import _signal  # `signal` itself imports enum: five milliseconds

INITIALIZE = "_initialize"
"""What a module without ``_start`` exports for being set up (WASI's reactors)."""
UNREACHABLE, MEMORY = "`unreachable`", b"memory"
MAX_TEXT = 2000
MAX_TABLES, MAX_ENTRIES = 10, 10_000_000
"""Tables of a module, and entries of one, where nothing bounds the process."""
_ENTRY = 8
WASI, EXIT = "wasi_snapshot_preview1", "proc_exit"


class Place(TypedDict):
    """A directory that modules see.

    Attributes
    ----------
    guest, host
        Its path there, and here; an empty ``host`` means the descriptor ``pinned`` (counted from 0).
    """

    guest: str
    host: str
    pinned: int
    writable: bool


class Work(TypedDict):
    """What a plan tells of modules (`Plan.work`).

    Attributes
    ----------
    modules
        The names under which each module is imported, in the order in which they are made; the entry module is last.
    code
        The files with their machine code.
    set_up
        For each, whether its ``_initialize`` is called.
    entry, results
        The function to call, and how many results it has.
    memory
        Bytes that a memory may have (-1: what WebAssembly allows).
    counted
        Whether the number of memories, tables and their entries is bounded, too: where nothing bounds the process.
    http
        How the HTTP functions reach servers: "" (there are none), ``host``, or ``door``.
    door
        The directory of the node's door.
    """

    library: str
    modules: list[list[str]]
    code: list[str]
    set_up: list[bool]
    entry: str
    results: int
    argv: list[str]
    env: list[tuple[str, str]]
    places: list[Place]
    memory: int
    counted: bool
    http: str
    door: str


def prepare(plan: Plan) -> Callable[[], None]:
    """Load everything and open every directory; return what runs the modules, to be called once this is confined.

    Raises
    ------
    OSError, Failed
        Something can't be loaded or opened.
    """
    work: Work = plan["work"]  # type: ignore[assignment]
    # A file that grows beyond the limit is an error for the module, and not its end.
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)
    report = FIRST_FILE
    library = Library(work["library"])
    engine = library.call("wasm_engine_new")
    linker = library.call("wasmtime_linker_new", engine)
    library.check("wasmtime_linker_define_wasi", linker)
    library.call("wasmtime_linker_allow_shadowing", linker, True)
    leave = Callback(lambda _1, _2, arguments, *_: _end(report, f"exit {arguments[0].of.i32 & 0xFFFFFFFF}"))
    define_function(library, linker, (WASI, EXIT), (1, 0), leave)
    library.call("wasmtime_linker_allow_shadowing", linker, False)
    modules = [_loaded(library, engine, code) for code in work["code"]]
    store = library.call("wasmtime_store_new", engine, None, None)
    context = library.call("wasmtime_store_context", store)
    library.call("wasmtime_store_limiter", store, work["memory"], *_counts(work))
    library.check("wasmtime_context_set_wasi", context, _wasi(library, work, report + 1))
    requests = None
    if work["http"]:
        from bacalhau_jupyter.engines.wasm.guest.http_requests import Requests

        requests = Requests(library, work["http"], work["door"])
        requests.define(linker)
    guest = _Guest(library, linker, context, modules, work)

    def run() -> None:
        os.closerange(report + 1, report + 1 + len(plan["pinned"]))
        if requests is not None:
            requests.start()
        _end(report, guest.run())
        assert leave  # what modules call must live as long as they do

    return run


def _end(report: int, text: str) -> NoReturn:
    """Report how the work ended, and end: modules leave with codes that wasmtime itself would not take (126 and more).

    Not by exit(): what wasmtime started in the background would print when it is torn down.
    """
    os.write(report, text.encode(errors="replace")[:MAX_TEXT])
    os._exit(0)


def _counts(work: Work) -> tuple[int, int, int, int]:
    """Return how many entries a table may have, and how many instances, tables and memories there may be.

    By itself wasmtime gives as many as RLIMIT_DATA has room for (-1).
    """
    if not work["counted"]:
        return -1, -1, -1, -1
    count = len(work["modules"])
    return min(work["memory"] // _ENTRY, MAX_ENTRIES), -1, count * MAX_TABLES, count


def _loaded(library: Library, engine: Any, code: str) -> Any:
    module = ctypes.c_void_p()
    library.check("wasmtime_module_deserialize_file", engine, os.fsencode(code), ctypes.byref(module))
    return module


def _wasi(library: Library, work: Work, first_pinned: int) -> Any:
    config = library.call("wasi_config_new")
    names, values = [name for name, _ in work["env"]], [value for _, value in work["env"]]
    library.call("wasi_config_set_argv", config, len(work["argv"]), _texts(work["argv"]))
    library.call("wasi_config_set_env", config, len(names), _texts(names), _texts(values))
    library.call("wasi_config_inherit_stdout", config)
    library.call("wasi_config_inherit_stderr", config)
    for place in work["places"]:
        # What is open already has no name that every system knows: it is opened from inside.
        if not place["host"]:
            os.fchdir(first_pinned + place["pinned"])
        host = os.fsencode(place["host"] or ".")
        if not library.call(
            "wasi_config_preopen_dir", config, host, place["guest"].encode(), place["writable"]
        ):
            raise Failed(f"the directory {place['guest']} can't be opened")
    os.chdir("/")
    return config


def _texts(texts: Sequence[str]) -> Any:
    return (ctypes.c_char_p * len(texts))(*(os.fsencode(text) for text in texts))


class _Guest:
    """Modules that are about to run."""

    def __init__(
        self, library: Library, linker: Any, context: Any, modules: Sequence[Any], work: Work
    ) -> None:
        self._library = library
        self._linker = linker
        self._context = context
        self._modules = modules
        self._work = work

    def run(self) -> str:
        """Make the instances and call the entry point; return the report for the supervisor."""
        work = self._work
        try:
            for module, names, set_up in zip(self._modules, work["modules"], work["set_up"], strict=True):
                instance = self._instance(module)
                if instance is None or (set_up and not self._call(instance, INITIALIZE, 0)):
                    return self._end
                for name in map(str.encode, names):
                    self._library.check(
                        "wasmtime_linker_define_instance",
                        self._linker,
                        self._context,
                        name,
                        len(name),
                        ctypes.byref(instance),
                    )
            assert instance is not None
            self._call(instance, work["entry"], work["results"])
        except Failed as error:
            return f"final the module can't be linked: {error}"
        return self._end

    def _instance(self, module: Any) -> Instance | None:
        instance, trap = Instance(), ctypes.c_void_p()
        error = self._library.call(
            "wasmtime_linker_instantiate",
            self._linker,
            self._context,
            module,
            ctypes.byref(instance),
            ctypes.byref(trap),
        )
        return instance if self._went_well(error, trap, "the module can't be started") else None

    def _call(self, instance: Instance, name: str, results: int) -> bool:
        export, text = Extern(), name.encode()
        exported = self._library.call(
            "wasmtime_instance_export_get",
            self._context,
            ctypes.byref(instance),
            text,
            len(text),
            ctypes.byref(export),
        )
        if not exported or export.kind != EXTERN_FUNC:
            raise Failed(f"it exports no function {name!r}")
        trap, values = ctypes.c_void_p(), (Value * max(results, 1))()
        function: Func = export.of.func
        error = self._library.call(
            "wasmtime_func_call",
            self._context,
            ctypes.byref(function),
            None,
            0,
            values,
            results,
            ctypes.byref(trap),
        )
        if self._went_well(error, trap, "the module failed"):
            return True
        if UNREACHABLE in self._end:
            self._end += self._taken(instance)
        return False

    def _taken(self, instance: Instance) -> str:
        """Say how much of its memory a module had, where that may be why it gave up; else nothing.

        A module whose ``memory.grow`` fails mostly ends itself by ``unreachable``, and nobody says why.
        """
        export, limit = Extern(), self._work["memory"]
        is_exported = self._library.call(
            "wasmtime_instance_export_get",
            self._context,
            ctypes.byref(instance),
            MEMORY,
            len(MEMORY),
            ctypes.byref(export),
        )
        if limit <= 0 or not is_exported or export.kind != EXTERN_MEMORY:
            return ""
        memory: Memory = export.of.memory
        size = self._library.call("wasmtime_memory_data_size", self._context, ctypes.byref(memory))
        # Containers of most languages double when they grow.
        if 2 * size < limit:
            return ""
        return f"; it had taken {size / 1e6:.1f} MB of the {limit / 1e6:.1f} MB of memory that it may have"

    def _went_well(self, error: Any, trap: ctypes.c_void_p, what: str) -> bool:
        self._end = "exit 0"
        if trap.value:
            self._end = f"final {what}: {in_a_line(self._library.trap_message(trap))}"
        elif error:
            self._end = f"final {what}: {in_a_line(self._library.message(error))}"
        return not (trap.value or error)


def in_a_line(message: str) -> str:
    """Return wasmtime's text of a trap in one line: the reason first, then where it happened."""
    frames, causes = [], []
    for line in message.splitlines():
        number, _, rest = line.strip().partition(":")
        text = rest.strip() if number.isdigit() else line.strip()
        if text.startswith("0x") or "<unknown>!" in text:
            frames.append(text.rpartition(" - ")[2].replace("<unknown>!", ""))
        elif text and not text.endswith(":"):
            causes.append(text)
    reason = "; ".join(dict.fromkeys(reversed(causes))) or "it was stopped"
    return f"{reason} (in {', called by '.join(frames[:5])})" if frames else reason
