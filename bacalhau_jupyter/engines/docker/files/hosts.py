"""The names that a container without a network knows: its own loopback's.

A container that is made with ``NetworkDisabled`` starts in half the time of one that only has the network mode
``none``, and has the same loopback interface; but the engine leaves its ``/etc/hosts`` empty.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.files.placement import bind
from bacalhau_jupyter.plugins.engine import RunRequest

_TARGET = "/etc/hosts"
_FILE = "hosts"
# What the engine itself writes for the network mode `none`.
_NAMES = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
CONTENT = "".join(f"{address}\t{names}\n" for address, names in _NAMES).encode()


def own_hosts(request: RunRequest) -> bool:
    """Whether a task brings its own ``/etc/hosts``, or something that holds it."""
    targets = [item.target for item in request.inputs] + [item.target for item in request.outputs]
    return any(_holds(target) for target in targets)


def hosts_mount(request: RunRequest) -> dict[str, Any]:
    """Write the file to the execution's directory; return its mount.

    Raises
    ------
    OSError
        It can't be written.
    """
    path: Path = request.directory / _FILE
    path.write_bytes(CONTENT)
    path.chmod(0o644)
    return bind(str(path), _TARGET, True)


def hosts_archive() -> Iterable[bytes]:
    """Return a tar stream to unpack at ``/etc`` of a container whose engine does not see our disk."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(posixpath.basename(_TARGET))
        member.size, member.mode = len(CONTENT), 0o644
        tar.addfile(member, io.BytesIO(CONTENT))
    return [buffer.getvalue()]


def _holds(target: str) -> bool:
    path = posixpath.normpath(target)
    return path == "/" or path == _TARGET or _TARGET.startswith(f"{path}/")
