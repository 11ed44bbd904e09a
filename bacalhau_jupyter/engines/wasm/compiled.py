"""Machine code of modules, compiled once and kept: by the hash of what was compiled, and for this wasmtime only.

The node reads a module, hashes what it has read, and hands just these bytes to a process that can do nothing else. So
what lies under a hash was made of it. A module that waits its turn is a file until then, and is hashed again. Who runs
a module gets its code as a file that nobody writes to any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bacalhau_jupyter.engines.supervised import bare, host
from bacalhau_jupyter.engines.wasm import budget, reading
from bacalhau_jupyter.engines.wasm.guest.compiling import REFUSED, Instructions, limits
from bacalhau_jupyter.engines.wasm.runtime import Runtime
from bacalhau_jupyter.lib.programs.calls import end
from bacalhau_jupyter.lib.threads.whole import whole
from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import shown

MAX_CODE = 2 << 30
MEMORY = 3 << 30
TIMEOUT_S = 300.0
KEPT = 4 << 30
"""Bytes of machine code that are kept; what was not used for longest goes first."""

_CODE = bare.program("bacalhau_jupyter.engines.wasm.guest.compiling")
_PARTIAL = ".partial"
_NOBODY = 65534
_NOT_SAID = ("Caused by:", "note: run with")
"""How lines begin that tell nobody why a module can't be compiled."""


class _Names(msgspec.Struct):
    """What the compiling process says of a module; it has read what anybody may have written.

    ``size`` is that of the machine code: when a machine goes down, a file may lose what was in it.
    """

    size: int
    imports: list[str]
    functions: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Compiled:
    """A compiled module: the file with its machine code, what it imports from, and the functions it exports."""

    code: Path
    imports: tuple[str, ...]
    functions: dict[str, tuple[int, int]]


class Compiler:
    """Compiles modules and keeps what came out.

    Parameters
    ----------
    root
        Where it is kept.
    runtime
        What compiles, and will run the code.
    landlock_abi, program
        How the compiling process is confined.
    plain
        Whether only what every Unix has is used to look after it (`supervisor.plain`).
    timeout_s
        Seconds that one module may take.
    """

    def __init__(
        self,
        root: Path,
        runtime: Runtime,
        *,
        landlock_abi: int,
        program: bytes,
        plain: bool = False,
        timeout_s: float = TIMEOUT_S,
        kept: int = KEPT,
    ) -> None:
        self._root = root
        self._runtime = runtime
        self._landlock_abi = landlock_abi
        self._program = program
        self._plain = plain
        self._timeout_s = timeout_s
        self._kept = kept
        self.places = budget.Places()
        self._compiling: dict[str, _Compilation] = {}

    def prepare_root(self) -> None:
        """Create the directory, and remove what an earlier node did not finish."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._root.glob(f"*{_PARTIAL}"):
            left.unlink(missing_ok=True)

    async def compile(self, descriptor: int, name: str, progress: Callable[[], None]) -> Compiled:
        """Return the machine code of a module.

        Parameters
        ----------
        descriptor
            The open file.
        name
            What errors call it.
        progress
            Called when it has to be compiled first.

        Raises
        ------
        EngineError
            It is no module, or can't be compiled; the job would fail everywhere.
        IOFailure
            The disk is full.
        """
        content = await asyncio.to_thread(reading.content, descriptor, name)
        key = f"{content.digest}-{self._runtime.mark}"
        known = await asyncio.to_thread(self._known, key)
        if known is not None:
            return known
        progress()
        while True:
            compilation = self._compiling.get(key)
            is_own = compilation is None or compilation.is_ending
            if compilation is None or compilation.is_ending:
                compilation = self._begin(descriptor, content, key, name)
            try:
                return await compilation.wait()
            except reading.Unreadable as unreadable:
                # Another execution's file says nothing of this one.
                if is_own:
                    raise unreadable.error from None

    def _begin(self, descriptor: int, content: reading.Content, key: str, name: str) -> _Compilation:
        # The execution may be gone while others still wait for the same module.
        source = os.dup(descriptor)
        task = asyncio.create_task(self._compile(source, content, key, name), name=f"compiling {name}")
        compilation = self._compiling[key] = _Compilation(task)
        # A task that is cancelled before its first step closes nothing itself.
        task.add_done_callback(lambda _: os.close(source))
        task.add_done_callback(lambda _: self._forget(key, task))
        return compilation

    def _forget(self, key: str, task: asyncio.Task[Compiled]) -> None:
        compilation = self._compiling.get(key)
        if compilation is not None and compilation.task is task:
            del self._compiling[key]

    async def close(self) -> None:
        """End what is being compiled."""
        for compilation in list(self._compiling.values()):
            compilation.end()
            await asyncio.gather(compilation.task, return_exceptions=True)

    def _known(self, key: str) -> Compiled | None:
        code = self._root / f"{key}.code"
        try:
            names = msgspec.json.decode(code.with_suffix(".names").read_bytes(), type=_Names)
            if code.stat().st_size != names.size:
                return None
            os.utime(code)
        except (OSError, msgspec.MsgspecError):
            return None
        return Compiled(code, tuple(names.imports), names.functions)

    async def _compile(self, source: int, content: reading.Content, key: str, name: str) -> Compiled:
        async with self.places.one(content.size):
            stem = self._root / uuid.uuid4().hex
            files = [stem.with_suffix(f".{kind}{_PARTIAL}") for kind in ("code", "names")]
            try:
                status, said = await self._run(source, content, name, files)
                if status:
                    raise _failure(name, content.size, status, said)
                return await asyncio.to_thread(self._keep, key, files)
            except TimeoutError:
                raise _failed(f"compiling {name!r} took longer than {self._timeout_s:g} s") from None
            except OSError as error:
                raise IOFailure(
                    f"the compiled module can't be kept: {error}", fails_execution=True
                ) from error
            finally:
                for file in files:
                    file.unlink(missing_ok=True)

    async def _run(
        self, source: int, content: reading.Content, name: str, files: list[Path]
    ) -> tuple[int, str]:
        """Run the process; return its exit code and what it says."""
        with contextlib.ExitStack() as held:
            process, instructions = await self._begin_process(source, content, name, files, held)
            try:
                async with asyncio.timeout(self._timeout_s):
                    _, said = await process.communicate(marshal.dumps(dict(instructions)))
            finally:
                await end(process)
        return process.returncode or 0, said.decode(errors="replace")

    async def _begin_process(
        self,
        source: int,
        content: reading.Content,
        name: str,
        files: list[Path],
        held: contextlib.ExitStack,
    ) -> tuple[asyncio.subprocess.Process, Instructions]:
        """Start the process; what it needs until its end is closed with ``held``."""
        with contextlib.ExitStack() as inherited:

            def closed_with(stack: contextlib.ExitStack, descriptor: int) -> int:
                stack.callback(os.close, descriptor)
                return descriptor

            module = closed_with(inherited, _nameless(self._root))
            # What it writes to is not closed under its hands.
            await whole(reading.copy, source, module, name, content)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            code, names = (closed_with(inherited, os.open(file, flags, 0o400)) for file in files)
            lifeline = -1
            if self._plain:
                lifeline, ours = os.pipe()
                closed_with(inherited, lifeline)
                closed_with(held, ours)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                "-c",
                _CODE,
                bare.PACKAGE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={},
                pass_fds=[each for each in (module, code, names, lifeline) if each >= 0],
            )
        return process, Instructions(
            library=str(self._runtime.library),
            source=module,
            code=code,
            names=names,
            limits=limits(MEMORY, MAX_CODE),
            cpu_s=budget.cpu_seconds(content.size),
            user=_NOBODY if host.is_root() else -1,
            landlock_abi=self._landlock_abi,
            filter=self._program,
            lifeline=lifeline,
        )

    def _keep(self, key: str, files: list[Path]) -> Compiled:
        code, names = files
        names.replace(self._root / f"{key}.names")
        code.replace(self._root / f"{key}.code")
        self._make_room(key)
        kept = self._known(key)
        if kept is None:
            raise OSError("it can't be read")
        return kept

    def _make_room(self, newest: str) -> None:
        entries = []
        for file in self._root.glob("*.code"):
            # Another compilation may make room at the same time.
            with contextlib.suppress(FileNotFoundError):
                entries.append((file.stat(), file))
        entries.sort(key=lambda each: each[0].st_mtime)
        size = sum(facts.st_size for facts, _ in entries)
        for facts, file in entries:
            if size <= self._kept or file.stem == newest:
                return
            file.unlink(missing_ok=True)
            file.with_suffix(".names").unlink(missing_ok=True)
            size -= facts.st_size


class _Compilation:
    """One that several executions may wait for; it ends when nobody does any more."""

    def __init__(self, task: asyncio.Task[Compiled]) -> None:
        self.task = task
        self.is_ending = False
        self._waiting = 0

    async def wait(self) -> Compiled:
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if not self._waiting and not self.task.done():
                self.end()

    def end(self) -> None:
        """Begin to end it; a second time would keep it from waiting for its process."""
        if not self.is_ending:
            self.is_ending = True
            self.task.cancel()


def _nameless(place: Path) -> int:
    """Return a file without a name: in memory where the system can do that, else in a directory of ours."""
    if sys.platform == "linux":
        return os.memfd_create("module", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(dir=place) as file:
        return os.dup(file.fileno())


def _failure(name: str, size: int, status: int, said: str) -> EngineError:
    if status == -signal.SIGXCPU:
        return _failed(
            f"compiling {name!r} took more than {budget.cpu_seconds(size)} s of processor time, which is what a module "
            f"of {format_bytes(size)} gets"
        )
    lines = [line for each in said.splitlines() if (line := each.strip()) and not line.startswith(_NOT_SAID)]
    if status == REFUSED:
        return _failed(f"failed to compile module at {name!r}: {shown('; '.join(lines)[:500])}")
    why = shown(lines[-1][:300]) if lines else f"its process ended with exit code {status}"
    return _failed(f"failed to compile module at {name!r} within {format_bytes(MEMORY)} of memory: {why}")


def _failed(message: str) -> EngineError:
    return EngineError(message, fails_execution=True, fails_job=True)
