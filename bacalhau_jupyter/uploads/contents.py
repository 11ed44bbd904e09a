"""Complete uploads on disk: each content once, under its SHA-256. Functions here block.

``contents/<sha256>/`` holds the ``content`` and its description ``about.json``, whose modification time is the last
use. A content appears by one rename, and nothing writes to it any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import uuid
from pathlib import Path

import msgspec

from bacalhau_jupyter.lib.clock import boot_id
from bacalhau_jupyter.lib.removal import remove_tree

CONTENT, ABOUT = "content", "about.json"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a content.

    Attributes
    ----------
    changed_ns
        Modification time of the file when it was stored: another one means that somebody wrote to it.
    boot
        The machine's boot since which the file is known to be what its hash says: data that was not on the disk yet
        may be lost in a power cut.
    owners
        Principals that uploaded it.
    """

    sha256: str
    size: int
    changed_ns: int
    boot: str
    owners: tuple[str, ...] = ()
    used_ns: int = 0


class ContentFiles:
    """Where contents lie.

    Parameters
    ----------
    root
        Absolute; on the file system of the executions' directories, or jobs get copies.
    """

    def __init__(self, root: Path) -> None:
        self.contents = root / "contents"
        self.leaving = root / "leaving"
        self._boot = boot_id()

    def open(self) -> list[About]:
        """Make the directories, and return what is there; what a crash left half removed goes."""
        remove_tree(self.leaving)
        for directory in (self.contents, self.leaving):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        contents = []
        for directory in self.contents.iterdir():
            about = self._described(directory)
            if about is None:
                remove_tree(directory)
            else:
                contents.append(about)
        return sorted(contents, key=lambda about: (about.used_ns, about.sha256))

    def path(self, sha256: str) -> Path:
        """Return where the bytes of a content are, or would be."""
        return self.contents / sha256 / CONTENT

    def keep(self, file: Path, sha256: str, owner: str) -> About:
        """Make a complete file a content; it is moved.

        A content that is there already stays, and the file goes.
        """
        info = file.stat()
        about = About(
            sha256=sha256, size=info.st_size, changed_ns=info.st_mtime_ns, boot=self._boot, owners=(owner,)
        )
        place = file.parent / uuid.uuid4().hex
        place.mkdir(mode=0o700)
        try:
            file.rename(place / CONTENT)
            (place / ABOUT).write_bytes(msgspec.json.encode(about))
            # No rename replaces a directory that holds something: what is there stays.
            with contextlib.suppress(OSError):
                place.rename(self.contents / sha256)
        finally:
            remove_tree(place)
        return self._described(self.contents / sha256) or about

    def note(self, about: About) -> None:
        """Write a description anew."""
        place = self.contents / about.sha256 / ABOUT
        part = place.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(about))
        part.replace(place)

    def touch(self, sha256: str) -> None:
        """Note that a content was used now."""
        with contextlib.suppress(OSError):
            os.utime(self.contents / sha256 / ABOUT)

    def checked(self, about: About) -> About | None:
        """Return the description if the content is still what was stored; hashes it once after the machine started."""
        path = self.path(about.sha256)
        try:
            info = path.lstat()
            whole = stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns) == (
                about.size,
                about.changed_ns,
            )
            if not whole:
                return None
            if about.boot == self._boot:
                return about
            if hash_of(path) != about.sha256:
                return None
            about = msgspec.structs.replace(about, boot=self._boot)
            self.note(about)
        except OSError:
            return None
        return about

    def remove(self, sha256: str) -> None:
        """Remove a content; jobs that hold links to it keep them."""
        gone = self.leaving / uuid.uuid4().hex
        with contextlib.suppress(FileNotFoundError):
            (self.contents / sha256).rename(gone)
            remove_tree(gone)

    def _described(self, directory: Path) -> About | None:
        try:
            about = msgspec.json.decode((directory / ABOUT).read_bytes(), type=About)
            used_ns = (directory / ABOUT).stat().st_mtime_ns
            there = (directory / CONTENT).lstat()
        except (OSError, msgspec.MsgspecError):
            return None
        if about.sha256 != directory.name or there.st_size != about.size:
            return None
        return msgspec.structs.replace(about, used_ns=used_ns)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, read from the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
