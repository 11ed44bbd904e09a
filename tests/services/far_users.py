"""Who may log in on the second machine, and the ssh configurations that lead there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.common import run

DOCKER_GROUP = 2000
PASSPHRASE = "open sesame"
GREETING = "welcome to the cluster"


@dataclass(frozen=True)
class Person:
    """One user there."""

    name: str
    uid: int
    uses_docker: bool = True
    shell: str = "/bin/bash"
    bashrc: str = ""


PEOPLE = (
    Person("alice", 2001),
    Person("bob", 2002, uses_docker=False),
    # A login shell that prints, also where nobody reads.
    Person("chatty", 2003, bashrc=f"echo {GREETING}\n"),
    Person("nologin", 2004, shell="/usr/sbin/nologin"),
)


@dataclass(frozen=True)
class Way:
    """What a block of an ssh configuration says."""

    user: str = "alice"
    port: int = 22
    key: Path | None = None
    known_hosts: Path | None = None
    lines: tuple[str, ...] = field(default=())


class FarUsers:
    """The users of the machine at ``address``, whose files lie below ``directory``.

    Attributes
    ----------
    key, locked_key
        Private keys of all users; the second one is locked by `PASSPHRASE`.
    host_key
        The machine's public key, as a line ``ssh-ed25519 AAAA…``.
    fingerprint
        The same as people compare it: ``SHA256:…``.
    """

    def __init__(self, directory: Path, address: str) -> None:
        self._directory, self._address = directory, address
        keys, etc = directory / "keys", directory / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True, ignore=_unreadable)
        (etc / "ssh").mkdir(exist_ok=True)
        self.key = _make_key(keys / "id", "")
        self.locked_key = _make_key(keys / "id_locked", PASSPHRASE)
        _make_key(etc / "ssh" / "far_key", "")
        self.host_key = " ".join((etc / "ssh" / "far_key.pub").read_text().split()[:2])
        self.fingerprint = run(["ssh-keygen", "-lf", str(etc / "ssh" / "far_key.pub")], timeout_s=30).split()[
            1
        ]
        self._write_accounts(etc)
        (etc / "ssh" / "far.conf").write_text(
            f"ListenAddress {address}\nHostKey /etc/ssh/far_key\nPidFile none\nUsePAM no\nUseDNS no\n"
            "StrictModes no\nPrintMotd no\nLogLevel VERBOSE\n"
        )

    def known_hosts(self, path: Path, *ports: int, key: str = "") -> Path:
        """Write the machine's key (or another) into a file of known hosts, for port 22 and others; return the file."""
        names = [self._address, *(f"[{self._address}]:{port}" for port in ports)]
        path.write_text("".join(f"{name} {key or self.host_key}\n" for name in names))
        return path

    def config(self, path: Path, **ways: Way) -> Path:
        """Write an ssh configuration with one block for each alias (``gpu1=Way(user="bob")``); return the file."""
        known = self.known_hosts(
            path.with_name(f"{path.name}.known_hosts"), *(way.port for way in ways.values())
        )
        blocks = []
        for alias, way in ways.items():
            lines = [
                f"Host {alias}",
                # The first value counts.
                *way.lines,
                f"HostName {self._address}",
                f"User {way.user}",
                f"Port {way.port}",
                f"IdentityFile {way.key or self.key}",
                "IdentitiesOnly yes",
                "IdentityAgent none",
                f"UserKnownHostsFile {way.known_hosts or known}",
                "GlobalKnownHostsFile /dev/null",
                "StrictHostKeyChecking yes",
            ]
            blocks.append("\n    ".join(lines))
        path.write_text("\n\n".join(blocks) + "\n")
        return path

    def _write_accounts(self, etc: Path) -> None:
        members = ",".join(person.name for person in PEOPLE if person.uses_docker)
        _without(etc / "group", "docker")
        _append(etc / "group", f"docker:x:{DOCKER_GROUP}:{members}")
        for person in PEOPLE:
            home = self._directory / "home" / person.name
            _append(
                etc / "passwd",
                f"{person.name}:x:{person.uid}:{person.uid}::/home/{person.name}:{person.shell}",
            )
            _append(etc / "group", f"{person.name}:x:{person.uid}:")
            # No password fits, and yet the account is not locked.
            _append(etc / "shadow", f"{person.name}:*:19000::::::")
            (home / ".ssh").mkdir(parents=True)
            (home / ".ssh" / "authorized_keys").write_text(
                "".join(Path(f"{key}.pub").read_text() for key in (self.key, self.locked_key))
            )
            (home / ".bashrc").write_text(person.bashrc)
            for path in (home, home / ".ssh", home / ".bashrc", home / ".ssh" / "authorized_keys"):
                os.chown(path, person.uid, person.uid)
                path.chmod(0o700 if path.is_dir() else 0o600)


def _make_key(path: Path, passphrase: str) -> Path:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "tests", "-f", str(path)], timeout_s=30)
    return path


def _append(file: Path, line: str) -> None:
    text = file.read_text()
    file.write_text(f"{text}{'' if text.endswith(chr(10)) else chr(10)}{line}\n")


def _without(file: Path, name: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(f"{name}:")))


def _unreadable(directory: str, names: list[str]) -> set[str]:
    """Sockets, pipes and devices can't be copied, and are needed by nobody."""
    return {
        name
        for name in names
        if not (path := Path(directory, name)).is_symlink() and not path.is_file() and not path.is_dir()
    }
