"""Which modules a job needs, and in which order they are made: each after those that it imports from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from bacalhau_jupyter.engines.wasm.compiled import Compiled, Compiler
from bacalhau_jupyter.engines.wasm.guest.running import INITIALIZE
from bacalhau_jupyter.engines.wasm.params import DEFAULT_ENTRY, WasmParams
from bacalhau_jupyter.engines.wasm.places import Found, NotFound, find
from bacalhau_jupyter.lib.threads.whole import or_undone
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import InputMount, Progress, Reading

WASI = "wasi_snapshot_preview1"
HTTP = "wasi:http/requests"
"""Bacalhau's own functions for HTTP requests."""
MOST_MODULES = 64
_SHOWN, _LISTED = 200, 10
"""Characters of a name in a module that errors repeat, and how many functions."""


@dataclass
class Module:
    """A module of a job: its code, its path as modules see it, and the names by which others import from it."""

    compiled: Compiled
    path: str
    names: list[str] = field(default_factory=list)
    set_up: bool = False


@dataclass(frozen=True)
class Program:
    """All modules of a job in the order in which they are made, the entry module last.

    Attributes
    ----------
    results
        How many results the function to call has.
    uses_http
        Whether a module imports the HTTP functions.
    """

    modules: list[Module]
    results: int
    uses_http: bool


class Linking:
    """Looks for the modules of one job.

    Parameters
    ----------
    inputs
        Where they lie.
    compiler
        Compiles them.
    has_network
        Whether the HTTP functions are there for the job.
    progress
        Is told when a module has to be compiled.
    """

    def __init__(
        self, inputs: Sequence[InputMount], compiler: Compiler, *, has_network: bool, progress: Progress
    ) -> None:
        self._inputs = inputs
        self._compiler = compiler
        self._has_network = has_network
        self._progress = progress
        self._modules: dict[str, Module] = {}
        self._above: list[str] = []
        self._uses_http = False
        self._functions: tuple[str, ...] = (INITIALIZE,)

    async def program(self, params: WasmParams) -> Program:
        """Find and compile everything.

        Raises
        ------
        EngineError, IOFailure
            A module is missing, its file is not a module, or it has no such function; the text names it.
        """
        self._functions = (INITIALIZE, params.entry)
        for name in params.import_modules:
            await self._load(name, name)
        key = await self._load(params.entry_module, "")
        entry = self._modules.pop(key)
        counts = entry.compiled.functions.get(params.entry)
        if counts is None:
            raise _failed(
                f"unable to find the entrypoint '{params.entry}' in the WASM module",
                f"it exports {_listed(entry.compiled.functions)}",
            )
        if counts[0]:
            raise _failed(
                f"the entrypoint '{params.entry}' takes {counts[0]} parameters",
                "call a function without parameters; programs read theirs through WASI",
            )
        entry.set_up = INITIALIZE in entry.compiled.functions and params.entry not in (
            DEFAULT_ENTRY,
            INITIALIZE,
        )
        return Program([*self._modules.values(), entry], counts[1], self._uses_http)

    async def _load(self, place: str, name: str) -> str:
        """Load the module at a place, after those that it needs; return its path."""
        try:
            file = await self._find(place)
        except NotFound as error:
            raise _failed(
                str(error), "check the target of the input, and that a directory holds just one .wasm file"
            ) from None
        try:
            if file.path in self._above:
                raise _failed(f"the modules {', '.join([*self._above, file.path])} import from each other")
            if file.path not in self._modules:
                compiled = await self._compiler.compile(
                    file.descriptor, file.path, lambda: self._progress(Reading(f"compiling {file.path}"))
                )
                compiled = self._lean(compiled)
                await self._load_imports(compiled, file.path)
                if len(self._modules) >= MOST_MODULES:
                    raise _failed(f"the job has more than {MOST_MODULES} modules")
                self._modules[file.path] = Module(
                    compiled, file.path, set_up=INITIALIZE in compiled.functions
                )
        finally:
            os.close(file.descriptor)
        module = self._modules[file.path]
        if name and name not in module.names:
            module.names.append(name)
        return file.path

    async def _find(self, name: str) -> Found:
        return await or_undone(lambda file: os.close(file.descriptor), find, self._inputs, name)

    def _lean(self, compiled: Compiled) -> Compiled:
        """Forget the functions that don't matter: of 64 modules, each may export some hundred thousand."""
        every = compiled.functions
        kept = dict(islice(every.items(), _LISTED))
        kept |= {name: every[name] for name in self._functions if name in every}
        return replace(compiled, functions=kept)

    async def _load_imports(self, compiled: Compiled, path: str) -> None:
        self._above.append(path)
        if len(self._above) > MOST_MODULES:
            raise _failed(f"the job has more than {MOST_MODULES} modules")
        for name in compiled.imports:
            if name == HTTP and self._has_network:
                self._uses_http = True
            elif name != WASI:
                await self._load_import(name, path)
        self._above.pop()

    async def _load_import(self, name: str, path: str) -> None:
        known = next((each for each in self._modules.values() if name in each.names), None)
        if known is not None:
            return
        if name != HTTP:
            try:
                os.close((await self._find(name)).descriptor)
            except NotFound:
                pass
            else:
                await self._load(name, name)
                return
        hint = (
            "an import is found among the inputs by its module's name, for example an input with the target"
        )
        raise _failed(
            f"unknown module {name[:_SHOWN]!r}, which {path} imports from",
            "the job has no network (Network.Type)"
            if name == HTTP
            else f"{hint} /{name.lstrip('/')[:_SHOWN]}",
        )


def _listed(functions: dict[str, tuple[int, int]]) -> str:
    names = [each[:_SHOWN] for each in list(functions)[:_LISTED]]
    return ", ".join(names) if names else "no function"


def _failed(message: str, hint: str = "") -> EngineError:
    return EngineError(message, hint=hint, fails_execution=True, fails_job=True)
