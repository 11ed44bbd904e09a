"""Where the Docker Engine's socket is on a host, and whether the user may use it: a script, and its answer. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from bacalhau_jupyter.engines.docker.link.fault import Fault, Part, refused, unreachable
from bacalhau_jupyter.engines.docker.link.ssh.words import Host
from bacalhau_jupyter.engines.docker.link.target import is_socket_path
from bacalhau_jupyter.models.text import readable

USUAL = "/var/run/docker.sock"
# Rootless engines, Docker Desktop, podman and colima; in the words of the shell there.
_CANDIDATES = (
    USUAL,
    "$XDG_RUNTIME_DIR/docker.sock",
    "/run/user/$(id -u)/docker.sock",
    "$HOME/.docker/run/docker.sock",
    "$HOME/.colima/default/docker.sock",
    "/run/podman/podman.sock",
    "/run/user/$(id -u)/podman/podman.sock",
)
_SCRIPT = """\
printf 'user %s\\n' "$(id -un)"
command -v docker >/dev/null 2>&1 && echo docker yes
look() {{
    [ -S "$1" ] || {{ echo "missing $1"; return; }}
    if [ -r "$1" ] && [ -w "$1" ]; then echo "usable $1"
    else echo "denied $1 $(stat -c '%U:%G %a' "$1" 2>/dev/null)"; fi
}}
{looks}
"""


@dataclass(frozen=True)
class Answer:
    """What a host says.

    Attributes
    ----------
    has_docker
        Whether the program ``docker`` is there.
    usable, denied
        Sockets that the user may use, and those that he may not, with owner and mode.
    """

    user: str = ""
    has_docker: bool = False
    usable: tuple[str, ...] = ()
    denied: tuple[tuple[str, str], ...] = ()

    def fault(self, host: Host, socket: str) -> Fault | None:
        """Return why there is no socket to use; None where there is one.

        Parameters
        ----------
        socket
            The only one that may be used; empty: any.
        """
        if self.usable:
            return None
        person = readable(self.user) or host.resolved.user or "the user"
        if not self.denied:
            # An engine that is being started again has no socket for a while.
            where = socket or f"{USUAL}; rootless, podman and colima: none either"
            return unreachable(
                Part.SOCKET,
                f"there is no Docker Engine on {host.name} (no {where})",
                "Install or start it there (systemctl start docker), or name its socket: ssh://HOST/path/to/docker.sock.",
                is_engine_off=True,
            )
        path, owner = self.denied[0]
        return refused(
            Part.SOCKET,
            f"{person} may not use Docker on {host.name} ({readable(path)} belongs to {readable(owner) or 'others'})",
            f"On {host.name}: sudo usermod -aG docker {person}; then try again.",
        )


def script(socket: str) -> str:
    """Return the script that looks for sockets, or at the given one only."""
    candidates = [shlex.quote(socket)] if socket else [f'"{path}"' for path in _CANDIDATES]
    return _SCRIPT.format(looks="\n".join(f"look {path}" for path in candidates))


def answer(text: str) -> Answer:
    """Read what the script printed."""
    user, has_docker = "", False
    usable, denied = list[str](), list[tuple[str, str]]()
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "user":
            user = rest
        elif word == "docker":
            has_docker = True
        elif word == "usable" and is_socket_path(rest):
            usable.append(rest)
        elif word == "denied":
            path, _, owner = rest.partition(" ")
            denied.append((path, owner))
    return Answer(user, has_docker, tuple(usable), tuple(denied))
