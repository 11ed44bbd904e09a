"""A closer look where ssh has not let us in: what it takes to tell a person what to do."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from bacalhau_jupyter.engines.docker.link.fault import Fault
from bacalhau_jupyter.engines.docker.link.ssh.known_hosts import shown_key
from bacalhau_jupyter.engines.docker.link.ssh.resolved import Resolved
from bacalhau_jupyter.engines.docker.link.ssh.words import Host, KeysHere, explain, not_let_in, unknown_key
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.programs.calls import call

_TIMEOUT_S = 10.0
_NO_AGENT = 2


async def diagnose(stderr: str, host: Host, target: SshTarget, env: Mapping[str, str]) -> Fault:
    """Return what is at fault where ssh could not connect."""
    fault = explain(stderr, host)
    if fault == unknown_key(host, ""):
        key = await shown_key(target, host.resolved, env)
        return fault if key is None else unknown_key(host, f"{key.kind} {key.fingerprint}")
    if fault == not_let_in(host, KeysHere()):
        return not_let_in(host, await keys_here(host.resolved, env))
    return fault


async def keys_here(facts: Resolved, env: Mapping[str, str]) -> KeysHere:
    """Look at the keys that ssh has tried: which there are, which are locked, and what an agent has."""
    files = [path for path in map(at_home, facts.key_files) if await asyncio.to_thread(path.is_file)]
    locked = [str(path) for path in files if await _is_locked(path, env)]
    agent, count = await _agent(facts, env)
    return KeysHere(tuple(map(str, files)), tuple(locked), agent, count)


def at_home(name: str) -> Path:
    """Return the path that ssh means: its ``~`` is the home that the password database names, not ``$HOME``."""
    if name.startswith("~/"):
        try:
            return Path(pwd.getpwuid(os.geteuid()).pw_dir, name[2:])
        except KeyError:
            return Path(name)
    return Path(name)


async def _is_locked(path: Path, env: Mapping[str, str]) -> bool:
    try:
        done = await call(["ssh-keygen", "-y", "-P", "", "-f", str(path)], env, timeout_s=_TIMEOUT_S)
    except (OSError, TimeoutError):
        return False
    return "incorrect passphrase" in done.stderr


async def _agent(facts: Resolved, env: Mapping[str, str]) -> tuple[bool | None, int]:
    """Return whether an agent answers (None: ssh would not ask one), and how many keys it has."""
    if facts.agent == "none":
        return None, 0
    variables = dict(env)
    if facts.agent.startswith(("/", "~/")):
        variables["SSH_AUTH_SOCK"] = str(at_home(facts.agent))
    try:
        done = await call(["ssh-add", "-l"], variables, timeout_s=_TIMEOUT_S)
    except (OSError, TimeoutError):
        return None, 0
    return done.status != _NO_AGENT, len(done.stdout.splitlines()) if done.status == 0 else 0
