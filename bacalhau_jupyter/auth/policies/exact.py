"""Exact mode: the `opa` program evaluates, so every function and every corner is as on official nodes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.auth.policies.engine import (
    BUSY,
    LIMIT_S,
    START_S,
    UNDEFINED,
    PolicyFailed,
    bare_environment,
    not_compiling,
)
from bacalhau_jupyter.auth.policies.files import Policy
from bacalhau_jupyter.auth.policies.hosting import (
    MOST_VALUES,
    PACKAGE,
    SCRYPT,
    asked_value,
    modules,
    question_in,
)
from bacalhau_jupyter.lib.programs.calls import end
from bacalhau_jupyter.lib.programs.processor_time import processor_limit
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp

# A node that is killed closes nothing: the kernel has to end the program, which the program does not ask for itself.
_LAUNCH = """import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_PAUSE_S = 0.02
_SHORT = 400


class OpaEngine:
    """Evaluates a policy with a server of Open Policy Agent on a socket in a folder that only we may enter.

    Parameters
    ----------
    program
        The `opa` program.
    policy
        The policy.
    limit_s
        Seconds for one question, by the clock and of processor time.
    """

    def __init__(self, program: str, policy: Policy, *, limit_s: float = LIMIT_S) -> None:
        self._program = program
        self._policy = policy
        self._limit_s = limit_s
        self._folder: Path | None = None
        self._process: Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the server, which compiles the policy."""
        async with self._starting:
            await self._begin()

    async def ask(self, rule: str, document: object) -> object:
        """Ask the server; one that ended since is started again."""
        values: dict[str, object] = {}
        for _ in range(MOST_VALUES):
            asked = document
            if isinstance(document, dict):
                asked = {**document, PACKAGE: values}
            answer = await self._answer(rule, asked)
            if "errors" not in answer and "code" not in answer:
                return answer.get("result", UNDEFINED)
            key = question_in(str(answer))
            if not key or key in values:
                break
            try:
                values[key] = await asyncio.to_thread(asked_value, key, SCRYPT)
            except ValueError:
                break
        raise PolicyFailed("eval_builtin_error, or a rule with two values")

    async def close(self) -> None:
        """End the server and remove its folder."""
        session, self._session = self._session, None
        process, self._process = self._process, None
        folder, self._folder = self._folder, None
        if session is not None:
            await session.close()
        if process is not None:
            await end(process)
        if folder is not None:
            await asyncio.to_thread(remove_tree, folder)

    async def _begin(self) -> tuple[aiohttp.ClientSession, Process]:
        import aiohttp

        self._folder = folder = Path(tempfile.mkdtemp(prefix="bacalhau-policy-"))
        files = []
        for number, (_, text) in enumerate(modules(self._policy, SCRYPT)):
            files.append(folder / f"{number}.rego")
            write_text(files[-1], text)
        socket = folder / "opa.sock"
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *_launched(self._program),
                *("run", "--server", "--skip-version-check", "--log-level", "error"),
                *("--addr", f"unix://{socket}", "--unix-socket-perm", "600"),
                *map(str, files),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                env=bare_environment(),
            )
        except OSError as error:
            await self.close()
            raise ConfigurationError(
                f"{self._program} can't be started as the engine of policies: {error.strerror}",
                hint="API.Auth.PolicyEngine names the `opa` program; the value built-in needs none.",
            ) from error
        connector = aiohttp.UnixConnector(str(socket), limit=16)
        self._session = session = aiohttp.ClientSession(connector=connector)
        try:
            async with asyncio.timeout(START_S):
                await self._until_it_answers(process, session, folder)
        except TimeoutError as error:
            await self.close()
            raise not_compiling(self._policy, f"it took longer than {START_S:g} s") from error
        # A full pipe would stop the server, so its output is read and thrown away.
        asyncio.create_task(_drain(_output(process)))  # noqa: RUF006 - it ends with the process
        return session, process

    async def _until_it_answers(self, process: Process, session: aiohttp.ClientSession, folder: Path) -> None:
        import aiohttp

        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get("http://opa/health") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(_PAUSE_S)
        text = (await _output(process).read()).decode("utf-8", "replace")
        names = {
            str(folder / f"{number}.rego"): name for number, (name, _) in enumerate(self._policy.modules)
        }
        for ours, theirs in names.items():
            text = text.replace(ours, Path(theirs).name)
        await self.close()
        raise not_compiling(self._policy, " ".join(text.split())[:_SHORT])

    async def _answer(self, rule: str, document: object) -> Mapping[str, Any]:
        import aiohttp

        async with self._starting:
            session, process = self._session, self._process
            if session is None or process is None or process.returncode is not None:
                await self.close()
                session, process = await self._begin()
        body = json.dumps({} if document is None else {"input": document}).encode()
        try:
            async with (
                processor_limit(process.pid, self._limit_s, self._limit_s * BUSY),
                session.post(
                    f"http://opa/v1/data/{PACKAGE}/{rule}",
                    params={"strict-builtin-errors": "true"},
                    data=io.BytesIO(body),
                    headers={"Content-Type": "application/json"},
                ) as response,
            ):
                answer = await response.json(content_type=None)
        except TimeoutError:
            # The evaluation may never end.
            await self.close()
            raise PolicyFailed(f"its evaluation took longer than {self._limit_s:g} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise PolicyFailed(f"its engine failed: {type(error).__name__}") from None
        if not isinstance(answer, dict):
            raise PolicyFailed("its engine failed")
        return answer


def _launched(program: str) -> list[str]:
    if sys.platform != "linux":
        return [program]
    if shutil.which(program) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, program]


def _output(process: Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise PolicyFailed("its engine has no output")
    return process.stdout


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(1 << 16):
        pass
