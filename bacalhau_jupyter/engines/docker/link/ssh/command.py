"""The words of ssh's command lines. Pure.

One process per host stays connected (`master`); everything else goes through it (`Through`), without a further login.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.engines.docker.link.ssh.places import Places
from bacalhau_jupyter.engines.docker.link.ssh.resolved import Resolved
from bacalhau_jupyter.engines.docker.link.target import SshTarget

IS_UP = "bacalhau-link-up"
"""Printed by the process that stays connected, once it is."""
CONNECT_TIMEOUT_S = 10

# What a person's own configuration may say must not disturb: forwarded ports that are taken, programs that run at
# login, questions to a terminal that is not there.
_PLAIN_SESSION = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ControlPersist=no",
    "VisualHostKey=no",
    "UpdateHostKeys=no",
    # "Timeout, server not responding" is told at this level only.
    "LogLevel=INFO",
)


def resolve(program: str, target: SshTarget) -> list[str]:
    """Return the command that prints what ssh makes of a target; it connects to nothing."""
    return [program, *_configuration(target), *_options(_chosen(target)), "-G", "--", target.host]


def master(
    program: str, target: SshTarget, places: Places, resolved: Resolved, known_hosts: Path | None
) -> list[str]:
    """Return the command of the process that stays connected.

    Parameters
    ----------
    known_hosts
        A file of trusted keys beside the person's own.
    """
    options = [
        *_chosen(target),
        *_session(resolved),
        f"ConnectTimeout={CONNECT_TIMEOUT_S}",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "StreamLocalBindUnlink=yes",
        "StreamLocalBindMask=0177",
        "PermitLocalCommand=yes",
        f"LocalCommand=echo {IS_UP}",
        *_trusting(resolved, known_hosts),
    ]
    return [
        program,
        *("-M", "-S", str(places.control), "-N", "-T", "-n"),
        *_configuration(target),
        *_options(options),
        "--",
        target.host,
    ]


def direct(
    program: str, target: SshTarget, resolved: Resolved, known_hosts: Path | None, command: str
) -> list[str]:
    """Return the command that runs something there through a connection of its own."""
    options = [
        *_chosen(target),
        *_session(resolved),
        f"ConnectTimeout={CONNECT_TIMEOUT_S}",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "PermitLocalCommand=no",
        *_trusting(resolved, known_hosts),
    ]
    return [
        program,
        *("-S", "none", "-T"),
        *_configuration(target),
        *_options(options),
        "--",
        target.host,
        command,
    ]


def first_key(program: str, target: SshTarget, resolved: Resolved, file: Path) -> list[str]:
    """Return the command that writes the host's key into an empty file, and does not log in."""
    options = [
        *_chosen(target, leave_out=("preferredauthentications",)),
        *_session(resolved),
        f"ConnectTimeout={CONNECT_TIMEOUT_S}",
        "PermitLocalCommand=no",
        "PreferredAuthentications=none",
        "StrictHostKeyChecking=accept-new",
        "GlobalKnownHostsFile=/dev/null",
        f"UserKnownHostsFile={_quoted(file)}",
        "HashKnownHosts=no",
    ]
    return [
        program,
        *("-S", "none", "-T", "-n"),
        *_configuration(target),
        *_options(options),
        "--",
        target.host,
        "true",
    ]


@dataclass(frozen=True)
class Through:
    """Commands for the process that stays connected."""

    program: str
    places: Places

    def forward(self, socket: str) -> list[str]:
        """Let a socket of the host appear here."""
        return [*self._start("-O", "forward", "-L", f"{self.places.socket}:{socket}"), "x"]

    def stop(self) -> list[str]:
        """End the process."""
        return [*self._start("-O", "exit"), "x"]

    def run(self, command: str) -> list[str]:
        """Run a command on the host."""
        return [*self._start("-T"), "x", command]

    def _start(self, *words: str) -> list[str]:
        # Without configuration files: those may name a command or forwarded ports for any host. Where the process has
        # gone, ssh would connect to a host called x: the program in its place fails at once.
        alone = (
            "-F",
            "none",
            "-S",
            str(self.places.control),
            "-o",
            "ControlMaster=no",
            "-o",
            "ProxyCommand=false",
        )
        return [self.program, *alone, *_options(["BatchMode=yes", "StreamLocalBindMask=0177"]), *words]


def _configuration(target: SshTarget) -> list[str]:
    return ["-F", str(target.config)] if target.config else []


def _chosen(target: SshTarget, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Return what a person has chosen for this host; ssh takes the first value of an option."""
    options = [f"{name}={value}" for name, value in target.options.items() if name.lower() not in leave_out]
    if target.user:
        options.append(f"User={target.user}")
    if target.port:
        options.append(f"Port={target.port}")
    return options


def _session(resolved: Resolved) -> list[str]:
    # Older programs don't know this one; those that do list it.
    return [*_PLAIN_SESSION, *(["ForkAfterAuthentication=no"] if resolved.forks else [])]


def _trusting(resolved: Resolved, known_hosts: Path | None) -> list[str]:
    if known_hosts is None or not known_hosts.exists():
        return []
    files = [*map(Path, resolved.known_hosts), known_hosts]
    return [f"UserKnownHostsFile={' '.join(map(_quoted, files))}"]


def _quoted(path: Path) -> str:
    """Return a path as an option holds it; ssh replaces what stands behind a percent sign."""
    return f'"{path}"'.replace("%", "%%")


def _options(options: Iterable[str]) -> list[str]:
    return [word for option in options for word in ("-o", option)]
