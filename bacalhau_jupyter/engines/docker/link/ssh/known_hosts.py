"""Which keys of hosts are trusted: those in the person's own files, and those that he accepted here by fingerprint."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.engines.docker.link.ssh import command
from bacalhau_jupyter.engines.docker.link.ssh.resolved import Resolved, resolved
from bacalhau_jupyter.engines.docker.link.ssh.words import Host, explain
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.programs.calls import call
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.lib.threads.directories import new_directory
from bacalhau_jupyter.models.errors import ConfigurationError, Forbidden, IOFailure, NetworkFailure
from bacalhau_jupyter.models.text import readable

_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ShownKey:
    """A key that a host shows.

    Attributes
    ----------
    line
        As a file of known hosts has it.
    kind
        ``ED25519``, for people.
    fingerprint
        ``SHA256:…``.
    """

    line: str
    kind: str
    fingerprint: str


def ssh_program(env: Mapping[str, str]) -> str:
    """Return the path of ssh.

    Raises
    ------
    ConfigurationError
        It is not installed.
    """
    program = shutil.which("ssh", path=env.get("PATH"))
    if program is None:
        raise ConfigurationError(
            "the program ssh is not installed on this machine", hint="Install openssh-client."
        )
    return program


async def ask_ssh(target: SshTarget, env: Mapping[str, str]) -> Resolved:
    """Return what ssh makes of a target.

    Raises
    ------
    ConfigurationError
        ssh is not installed, or does not understand its own configuration.
    """
    done = await call(command.resolve(ssh_program(env), target), env, timeout_s=_TIMEOUT_S)
    if done.status != 0:
        fault = explain(done.stderr, Host(target.host, Resolved(target.host, target.user, 22), target))
        raise ConfigurationError(fault.sentence, hint=fault.hint)
    return resolved(done.stdout)


async def shown_key(target: SshTarget, facts: Resolved, env: Mapping[str, str]) -> ShownKey | None:
    """Return the key that a host shows now, without logging in; None where it shows none."""
    directory = await new_directory("bj-key-")
    file = directory / "key"
    try:
        await call(command.first_key(ssh_program(env), target, facts, file), env, timeout_s=_TIMEOUT_S)
        lines = read_text(file).splitlines()
        done = await call(["ssh-keygen", "-lf", str(file)], env, timeout_s=_TIMEOUT_S)
        words = done.stdout.split()
    except (OSError, ValueError, TimeoutError):
        return None
    finally:
        await asyncio.to_thread(_remove, file)
    if not lines or len(words) < 3:
        return None
    return ShownKey(lines[0], words[-1].strip("()"), words[1])


async def trust(
    name: str, target: SshTarget, fingerprint: str, known_hosts: Path, env: Mapping[str, str] | None = None
) -> ShownKey:
    """Accept the key of a host that has this fingerprint, and return it.

    Parameters
    ----------
    name
        What people call the host.
    known_hosts
        The file of ours that keeps it.

    Raises
    ------
    Forbidden
        The host shows another key; nothing is written.
    NetworkFailure
        It shows none.
    ConfigurationError, IOFailure
        ssh can't be used, or the file can't be written.
    """
    variables = os.environ if env is None else env
    key = await shown_key(target, await ask_ssh(target, variables), variables)
    if key is None:
        raise NetworkFailure(f"{name} shows no key now", hint=f"Try it by hand: ssh {target.host}.")
    if key.fingerprint != _plain(fingerprint):
        raise Forbidden(
            f"{name} shows another key: {key.kind} {key.fingerprint}, not {readable(fingerprint)[:100]}",
            hint="Nothing was accepted. If the host is really yours, compare again: somebody may listen in on the way.",
        )
    await asyncio.to_thread(_append, known_hosts, key.line)
    return key


def _plain(fingerprint: str) -> str:
    text = fingerprint.strip().rstrip("=")
    return text if text.startswith("SHA256:") else f"SHA256:{text}"


def _append(file: Path, line: str) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            stream.seek(0)
            before = stream.read()
            if line.encode() not in before.splitlines():
                stream.write((b"" if before.endswith(b"\n") or not before else b"\n") + line.encode() + b"\n")
    except OSError as error:
        raise IOFailure(f"{file} can't be written: {error.strerror}") from error


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        for path in file.parent.iterdir():
            path.unlink()
        file.parent.rmdir()
