"""What ssh says, in words for people: which part of the way is at fault, why, and what to do. Pure.

ssh ends with 255 whatever went wrong, so its last lines decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from bacalhau_jupyter.engines.docker.link.fault import JOBS_GO_ON, Fault, Part, refused, unreachable
from bacalhau_jupyter.engines.docker.link.ssh.resolved import Resolved
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.models.text import readable

LONGEST = 300
_USUAL_PORT = 22
_KEY_FILES = "/etc/ssh/ssh_host_{}_key.pub"
_BEHIND_A_JUMP = "UNKNOWN port 65535"
_NOISE = re.compile(r"mux_client_|debug\d|\*{3}|@{3}|Warning: Permanently added|channel \d+:")


@dataclass(frozen=True)
class Host:
    """What a sentence about a host may name: what people call it, and what ssh makes of that.

    Attributes
    ----------
    target
        What ssh's own commands take, as the person wrote it: an alias has a port and a key that its machine lacks.
    """

    name: str
    resolved: Resolved
    target: SshTarget | None = None

    @property
    def person(self) -> str:
        """Who logs in there, as ssh's own commands take it."""
        user, host = self.resolved.user, self.resolved.host
        if self.target is not None:
            user, host = self.target.user, self.target.host
        return f"{user}@{host}" if user else host

    @property
    def words(self) -> str:
        """What follows ``ssh`` and ``ssh-copy-id``."""
        port = 0 if self.resolved.port == _USUAL_PORT else self.resolved.port
        if self.target is not None:
            port = self.target.port
        return f"-p {port} {self.person}" if port else self.person


Say = Callable[[Host, re.Match[str]], Fault]


def no_answer(host: Host) -> Fault:
    """Return the fault of a host that says nothing."""
    return unreachable(
        Part.SERVER,
        f"{host.name} does not answer",
        JOBS_GO_ON,
        silent=True,
    )


def _unresolved(host: Host, match: re.Match[str]) -> Fault:
    asked_for = readable(match[1])
    other = "" if asked_for == host.name else f" (asked for {host.name})"
    return unreachable(
        Part.NAME, f'no machine is called "{asked_for}"{other}', "Check the name, or whether the VPN is up."
    )


def _no_server(host: Host, match: re.Match[str]) -> Fault:
    return unreachable(
        Part.SERVER,
        f"{host.name} runs no ssh server on port {host.resolved.port}",
        f"Start it there (sshd), or name its port: ssh://{host.person}:PORT.",
    )


def _changed_key(host: Host, match: re.Match[str]) -> Fault:
    line = re.search(r"Offending \S+ key in (\S+?):(\d+)", match.string)
    where = f" (line {line[2]} of {readable(line[1])})" if line else ""
    forget = f"ssh-keygen -f {readable(line[1])} -R" if line else "ssh-keygen -R"
    return refused(
        Part.KEY,
        f"{host.name} shows another key than before{where}",
        f"If it was reinstalled: {forget} '{_known_name(host)}'. If not, somebody may listen in on the way.",
    )


def _unknown_key(host: Host, match: re.Match[str]) -> Fault:
    return unknown_key(host, "")


def unknown_key(host: Host, fingerprint: str) -> Fault:
    """Return the fault of a host whose key nobody has accepted; ``fingerprint`` is ``ED25519 SHA256:…``."""
    if not fingerprint:
        return refused(
            Part.KEY,
            f"{host.name} is not known yet: no key of it is in known_hosts",
            f"Log in once by hand and compare the key: ssh {host.words}",
        )
    kind, _, digest = fingerprint.partition(" ")
    return refused(
        Part.KEY,
        f"{host.name} is not known yet; its key is {kind} {digest}",
        f"Compare it with what `ssh-keygen -lf {_KEY_FILES.format(kind.lower())}` prints there. If it is the same, "
        f"accept it: --trust {digest}",
    )


def _denied(host: Host, match: re.Match[str]) -> Fault:
    methods = {word.strip() for word in match[1].split(",")}
    if not methods & {"publickey", "gssapi-with-mic", "hostbased"}:
        return refused(
            Part.LOGIN,
            f"{host.name} wants a password; only keys are supported",
            f"Give it your key: ssh-copy-id {host.words}",
        )
    return not_let_in(host, KeysHere())


@dataclass(frozen=True)
class KeysHere:
    """What this machine has to log in with.

    Attributes
    ----------
    files
        Private keys that exist.
    locked
        Those that need a passphrase.
    agent
        Whether an agent answers, or None where nobody has asked.
    agent_keys
        How many keys it has.
    """

    files: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    agent: bool | None = None
    agent_keys: int = 0


def not_let_in(host: Host, keys: KeysHere) -> Fault:
    """Return the fault of a host that takes none of our keys; what is known of them decides about the hint."""
    copy = f"Give it your key: ssh-copy-id {host.words}"
    hints = [copy]
    if keys.agent is not None and not keys.files and not keys.agent_keys:
        hints = [f"There is no key here: ssh-keygen -t ed25519, then ssh-copy-id {host.words}"]
    elif keys.locked and not keys.agent_keys:
        locked = keys.locked[0]
        hints = [f"The key {locked} is locked by a passphrase and no agent has it: ssh-add {locked}."]
        if keys.agent is False:
            hints.append(
                "This server was started without an ssh agent (SSH_AUTH_SOCK): start it from a shell that has one."
            )
        hints.append(f"If the key is not known there yet: ssh-copy-id {host.words}")
    return refused(
        Part.LOGIN,
        f"{host.name} does not let {host.resolved.user or 'us'} in with the keys of this machine",
        " ".join(hints),
    )


def _too_many_keys(host: Host, match: re.Match[str]) -> Fault:
    return refused(
        Part.LOGIN,
        f"{host.name} does not let us in: too many keys were tried",
        "Name the right one in ~/.ssh/config: IdentityFile, with IdentitiesOnly yes.",
    )


def _own_configuration(host: Host, match: re.Match[str]) -> Fault:
    return refused(
        Part.PROGRAM,
        f"ssh can't be used for {host.name}: {_line(match[0])}",
        f"Try it by hand: ssh {host.words}",
    )


def _open_key(host: Host, match: re.Match[str]) -> Fault:
    file = readable(match[1])
    return refused(
        Part.PROGRAM, f"others may read the key {file}, so ssh does not use it", f"chmod 600 {file}"
    )


def _no_account(host: Host, match: re.Match[str]) -> Fault:
    return refused(
        Part.PROGRAM,
        "ssh does not work here: this process runs as a user without an account",
        "Containers: add the user ID to /etc/passwd.",
    )


def _no_common_way(host: Host, match: re.Match[str]) -> Fault:
    return refused(
        Part.SERVER,
        f"{host.name} and this machine's ssh have no common method: {_line(match[0])}",
        "Allow one in ~/.ssh/config (HostKeyAlgorithms, KexAlgorithms or Ciphers).",
    )


def _hung_up(host: Host, match: re.Match[str]) -> Fault:
    return unreachable(
        Part.SERVER,
        f"the ssh server of {host.name} hung up: {_line(match[0])}",
        "It may be busy, or may have locked this machine out (fail2ban) for a while.",
    )


def _silent(host: Host, match: re.Match[str]) -> Fault:
    return no_answer(host)


# The first that fits decides: what says more stands before what follows from it.
_ROWS: tuple[tuple[str, Say], ...] = (
    (r"^No user exists for uid", _no_account),
    (r"^.*Bad owner or permissions on .*$", _own_configuration),
    (r"^.*(?:Bad configuration option|terminating, \d+ bad configuration).*$", _own_configuration),
    (r"^.*Can't open user config file.*$", _own_configuration),
    (r"^.*REMOTE HOST IDENTIFICATION HAS CHANGED", _changed_key),
    (r"^No \S+ host key is known for|^Host key verification failed", _unknown_key),
    (r"^Permissions \d+ for '(.+)' are too open", _open_key),
    (r"Too many authentication failures", _too_many_keys),
    (r"Permission denied \(([\w,@. -]+)\)", _denied),
    (r"Could not resolve hostname (\S+?):", _unresolved),
    (r"Unable to negotiate with .*$", _no_common_way),
    (r"[Cc]onnection refused", _no_server),
    (r"[Cc]onnection timed out|Operation timed out|timed out during banner exchange", _silent),
    (r"Timeout, server .* not responding", _silent),
    (r"Network is (?:unreachable|down)|No route to host|Host is (?:down|unreachable)", _silent),
    (r"^.*[Cc]onnection (?:closed|reset) by.*$", _hung_up),
    (r"^.*(?:kex_exchange_identification|Broken pipe|Exceeded MaxStartups).*$", _hung_up),
)
_COMPILED = tuple((re.compile(pattern, re.MULTILINE), say) for pattern, say in _ROWS)


def explain(stderr: str, host: Host) -> Fault:
    """Return what is at fault where ssh could not connect, or has ended."""
    jump = host.resolved.jump
    if jump and _BEHIND_A_JUMP in stderr:
        return _through_a_jump(stderr, host)
    for pattern, say in _COMPILED:
        if match := pattern.search(stderr):
            return say(host, match)
    words = last_words(stderr)
    said = f": {words}" if words else ""
    return unreachable(
        Part.SERVER, f"ssh could not connect to {host.name}{said}", f"Try it by hand: ssh {host.words}"
    )


def ended(stderr: str, host: Host) -> Fault:
    """Return what is at fault where a connection has ended."""
    if stderr.strip():
        return explain(stderr, host)
    return unreachable(
        Part.SERVER, f"the ssh connection to {host.name} has ended", "It is made again by itself."
    )


def _through_a_jump(stderr: str, host: Host) -> Fault:
    """The way there is at fault, and another ssh has said why, before ours noticed that it ended."""
    before = stderr.partition(_BEHIND_A_JUMP)[0].splitlines()[:-1]
    lines = [line for line in before if "kex_exchange_identification" not in line]
    reason = "\n".join(lines)
    behind = next(
        (
            say(host, match)
            for pattern, say in _COMPILED
            if say is not _hung_up and (match := pattern.search(reason))
        ),
        None,
    )
    over = "" if host.resolved.jump == "a program" else f" over {readable(host.resolved.jump)}"
    words = last_words(reason) or "it ended without a word"
    make = refused if behind is not None and behind.state is not no_answer(host).state else unreachable
    return make(
        Part.SERVER,
        f"the way to {host.name}{over} does not work: {words}",
        "Try each step by hand: "
        + ("ssh " + host.words if not over else f"ssh {readable(host.resolved.jump)}")
        + ".",
    )


def last_words(stderr: str) -> str:
    """Return the last line that says something, fit to be a part of a sentence."""
    lines = [line.strip() for line in stderr.splitlines()]
    return next((_line(line) for line in reversed(lines) if line and not _NOISE.match(line)), "")


def _line(text: str) -> str:
    return readable(text.strip().rstrip("."))[:LONGEST]


def _known_name(host: Host) -> str:
    """Return the host as a file of known hosts names it."""
    port = host.resolved.port
    return host.resolved.host if port == _USUAL_PORT else f"[{host.resolved.host}]:{port}"
