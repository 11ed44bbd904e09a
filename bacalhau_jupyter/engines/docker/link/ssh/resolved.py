"""What ssh makes of a target: the output of ``ssh -G``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# Printed as well, where no file is meant.
_NO_FILE = "none"


@dataclass(frozen=True)
class Resolved:
    """What ssh would do.

    Attributes
    ----------
    key_files
        Files of private keys, in the order in which they are tried; most of the usual ones don't exist.
    jump
        The hosts on the way, as ``ProxyJump`` names them; or that a program is used (``ProxyCommand``); empty: none.
    known_hosts
        Files of trusted keys, as ssh's configuration names them.
    agent
        The socket of the agent where the configuration names one; ``none`` where it wants none.
    forks
        Whether it would go to the background.
    """

    host: str
    user: str
    port: int
    key_files: tuple[str, ...] = ()
    jump: str = ""
    known_hosts: tuple[str, ...] = ()
    agent: str = ""
    forks: bool = False


def resolved(text: str) -> Resolved:
    """Read what ``ssh -G`` printed."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name.lower(), []).append(value.strip())

    def one(name: str) -> str:
        value = values.get(name, [""])[0]
        return "" if value == _NO_FILE else value

    port = one("port")
    files = tuple(word for word in one("userknownhostsfile").split() if word != _NO_FILE)
    return Resolved(
        host=one("hostname"),
        user=one("user"),
        port=int(port) if port.isdecimal() else 22,
        key_files=tuple(values.get("identityfile", ())),
        jump=one("proxyjump") or ("a program" if one("proxycommand") else ""),
        known_hosts=files,
        agent=values.get("identityagent", [""])[0],
        forks=one("forkafterauthentication") == "yes",
    )
