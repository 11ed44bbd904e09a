"""What evaluates a policy: the protocol, and the built-in engine in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable, Mapping
from typing import Protocol

from bacalhau_jupyter.auth.policies import words
from bacalhau_jupyter.auth.policies.files import Policy
from bacalhau_jupyter.auth.policies.hosting import FOR_BUILT_IN, modules
from bacalhau_jupyter.lib.programs.calls import end
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError

UNDEFINED = object()
"""The rule has no value for this input."""

LIMIT_S, START_S = 2.0, 60.0
"""For one question, and for a start: then the engine is ended."""
_GRACE_S = 1.0
BUSY = 10
"""How many times longer than by its own clock a process may take that shares its core with others."""
_WAITING = 64
"""Questions that wait for one engine; more are refused."""
_MOST_ANSWER = 16 << 20

_KEYWORDS = frozenset(
    {"as", "contains", "default", "else", "every", "if", "import", "in", "not", "package", "some", "with"}
)
# The built-in engine has them, and gives other values than the official one.
_DIFFERENT = frozenset({"http.send", "time.diff", "time.format"})
EXACT_HINT = "Install the `opa` program of Open Policy Agent; the node then uses it as its engine."


class PolicyFailed(BacalhauError):
    """A policy gave no usable answer; nobody is let in. The message names no value that a caller sent."""

    default_code = "PolicyFailed"


class Engine(Protocol):
    """Evaluates one policy."""

    async def start(self) -> None:
        """Compile the policy.

        Raises
        ------
        ConfigurationError
            It does not compile, or the engine can't be had.
        """
        ...

    async def ask(self, rule: str, document: object) -> object:
        """Return the value of a rule of our module for an input, or `UNDEFINED`.

        Raises
        ------
        PolicyFailed
            The policy fails, or takes too long.
        """
        ...

    async def close(self) -> None:
        """End whatever evaluates."""
        ...


class BuiltInEngine:
    """Evaluates a policy with regopy, in a process that is ended when it takes too long.

    Parameters
    ----------
    policy
        The policy.
    rules
        What will be asked.
    limit_s
        Seconds of processor time for one question. A busy machine denies nobody what a policy allows.
    """

    def __init__(self, policy: Policy, rules: Iterable[str], *, limit_s: float = LIMIT_S) -> None:
        self._policy = policy
        self._rules = tuple(rules)
        self._limit_s = limit_s
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def start(self) -> None:
        """Start the process and compile the policy in it."""
        refuse_different(self._policy)
        for name, text in self._policy.modules:
            if not words.has_package(text):
                raise not_compiling(self._policy, f"{name}: rego_parse_error: package expected")
        unbound = words.unbound(self._policy.text)
        if unbound:
            faults = "; ".join(f"rego_unsafe_var_error: var {name} is unsafe" for name in unbound)
            raise not_compiling(self._policy, faults)
        async with self._lock:
            try:
                await self._begin()
            except PolicyFailed as error:
                raise not_compiling(self._policy, error.message) from error

    async def ask(self, rule: str, document: object) -> object:
        """Ask the process; a process that ended since is started again."""
        if self._waiting >= _WAITING:
            raise PolicyFailed("too many requests wait for the policy")
        self._waiting += 1
        try:
            async with self._lock:
                if self._process is None:
                    await self._begin()
                answer = await self._exchange({"rule": rule, "input": document}, self._limit_s * BUSY)
        finally:
            self._waiting -= 1
        if "error" in answer:
            raise PolicyFailed(str(answer["error"]))
        return answer.get("value", UNDEFINED)

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            await end(process)

    async def _begin(self) -> None:
        names = called_functions(self._policy) - set(FOR_BUILT_IN)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "bacalhau_jupyter.auth.policies.worker",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=bare_environment() | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            limit=_MOST_ANSWER,
        )
        answer = await self._exchange(
            {
                "modules": modules(self._policy, FOR_BUILT_IN, keep_escapes=False),
                "schema_modules": modules(self._policy, FOR_BUILT_IN),
                "rules": self._rules,
                "calls": sorted(names),
                "limit_s": self._limit_s,
                "start_s": START_S,
            },
            START_S + _GRACE_S,
        )
        if answer.get("error") == "regopy":
            await self.close()
            raise ConfigurationError(
                "policies need the package regopy, which is not installed",
                hint='Install "bacalhau-jupyter[auth]", or the `opa` program of Open Policy Agent.',
            )
        if "error" in answer:
            await self.close()
            raise PolicyFailed(str(answer["error"]))
        missing = answer.get("missing")
        if isinstance(missing, list) and missing:
            await self.close()
            raise lacking(self._policy, missing)

    async def _exchange(self, question: Mapping[str, object], limit_s: float) -> dict[str, object]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise PolicyFailed("its engine does not run")
        answered = False
        try:
            async with asyncio.timeout(limit_s):
                process.stdin.write(json.dumps(question).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            answer = json.loads(line) if line.endswith(b"\n") else None
            answered = isinstance(answer, dict)
        except (OSError, ValueError, TimeoutError):
            answer = None
        finally:
            # Also where the caller hung up: the next one must not get this answer.
            if not answered:
                await asyncio.shield(self.close())
        if not isinstance(answer, dict):
            raise PolicyFailed(f"its evaluation ended the engine, or took longer than {self._limit_s:g} s")
        return answer


def called_functions(policy: Policy) -> set[str]:
    """Return the names of built-in functions that a policy calls."""
    own = set().union(*(words.own_functions(text) for _, text in policy.modules))
    aliases = words.imported(policy.text)
    return {
        name
        for name in words.calls(policy.text)
        if name not in own | _KEYWORDS and name.partition(".")[0] not in aliases | {"data", "input"}
    }


def refuse_different(policy: Policy) -> None:
    """Refuse what the built-in engine would evaluate otherwise than official nodes do."""
    different = called_functions(policy) & _DIFFERENT
    if different:
        raise lacking(policy, sorted(different))


def lacking(policy: Policy, names: list[str]) -> ConfigurationError:
    """Return the error for functions that the built-in engine lacks."""
    return ConfigurationError(
        f"policy {policy.path} calls {', '.join(names)}, which the built-in engine does not have",
        hint=EXACT_HINT,
    )


def not_compiling(policy: Policy, reason: str) -> ConfigurationError:
    """Return the error for a policy that does not compile."""
    return ConfigurationError(
        f"policy {policy.path} does not compile: {reason}",
        hint="docs/policies.md has working examples of each kind of policy.",
    )


def bare_environment() -> dict[str, str]:
    """Return what an engine's process gets to know: policies can read their environment."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}
