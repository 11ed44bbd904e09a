"""Where the sockets of a way lie: in a directory of this user's own, with a path short enough for sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.models.errors import IOFailure

LONGEST_BYTES = 60
"""Of the directory. A socket's path may have about 104 bytes; ssh first makes a name that is 17 bytes longer."""
# ssh expands % and ~, and splits at colons and blanks.
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)


@dataclass(frozen=True)
class Places:
    """The sockets of one way.

    Attributes
    ----------
    control
        Where commands for the running ssh process go.
    socket
        Where the engine's socket appears.
    owns_parent
        Whether the directory above is for such places only.
    """

    directory: Path
    owns_parent: bool = False

    @property
    def control(self) -> Path:
        return self.directory / "ctl"

    @property
    def socket(self) -> Path:
        return self.directory / "docker.sock"

    def prepare(self) -> None:
        """Make the directory, and remove what an earlier process left in it.

        Raises
        ------
        IOFailure
            It can't be made, or belongs to somebody else.
        """
        try:
            parent = self.directory.parent
            # In a new data directory not even what holds the parent is there; the mode counts for the last one only.
            missing = [path for path in parent.parents if not path.exists()]
            for directory in reversed(missing):
                directory.mkdir(mode=0o700, exist_ok=True)
            for directory in (parent, self.directory):
                directory.mkdir(mode=0o700, exist_ok=True)
                _check_ours(directory)
            self.sweep()
        except OSError as error:
            raise IOFailure(f"no socket can be made in {self.directory}: {error.strerror}") from error

    def sweep(self) -> None:
        """Remove the sockets."""
        for path in (self.control, self.socket):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the sockets and the directory."""
        with contextlib.suppress(OSError):
            self.sweep()
            self.directory.rmdir()
            if self.owns_parent:
                # Fails while other ways use it.
                self.directory.parent.rmdir()


def places_for(name: str, runtime_dir: Path) -> Places:
    """Return the places of the way to a host: below ``runtime_dir``, or a short directory where its path is unfit.

    The same arguments give the same places, so that what a killed process left is found again.
    """
    identity = hashlib.sha256(f"{runtime_dir}\0{name}".encode()).hexdigest()[:12]
    directory = runtime_dir / identity
    if _PLAIN.fullmatch(str(directory)) and len(str(directory)) <= LONGEST_BYTES:
        return Places(directory)
    return Places(Path(f"/tmp/bacalhau-jupyter-{os.geteuid()}", identity), owns_parent=True)


def _check_ours(directory: Path) -> None:
    entry = directory.lstat()
    if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != os.geteuid() or entry.st_mode & 0o022:
        raise IOFailure(
            f"others may write to {directory}: no socket is put there",
            hint="Set XDG_RUNTIME_DIR to a directory that only you can write to.",
        )
