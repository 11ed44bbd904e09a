"""Uploads that are not complete: a directory each, with the bytes so far. Functions here block."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import BadRequest, Conflict, NotFound
from bacalhau_jupyter.models.records.uploads import UNKNOWN
from bacalhau_jupyter.uploads.contents import ABOUT, CONTENT, hash_of

_ID = re.compile(r"[0-9a-f]{32}")
_LEASE_READ = getattr(fcntl, "F_RDLCK", 0)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What an upload is to become.

    Attributes
    ----------
    local
        Whether its sender writes to the file itself.
    """

    id: str
    owner: str
    name: str
    size: int = UNKNOWN
    sha256: str = ""
    local: bool = False


class DraftFiles:
    """Where drafts lie; they outlive the node, so that an upload goes on after a restart."""

    def __init__(self, root: Path) -> None:
        self.drafts = root / "drafts"

    def open(self) -> list[Draft]:
        """Return the drafts of earlier runs; those whose sender wrote to the disk itself go: nobody finishes them."""
        self.drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        drafts = []
        for directory in self.drafts.iterdir():
            draft = _described(directory)
            if draft is None or draft.local:
                remove_tree(directory)
            else:
                drafts.append(draft)
        return drafts

    def make(self, draft: Draft) -> None:
        """Make an empty draft; only the node's own user can open it."""
        directory = self.drafts / draft.id
        directory.mkdir(mode=0o700)
        (directory / ABOUT).write_bytes(msgspec.json.encode(draft))
        os.close(os.open(directory / CONTENT, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def path(self, draft_id: str) -> Path:
        """Return the file of a draft."""
        return self.drafts / draft_id / CONTENT

    def offset(self, draft_id: str) -> int:
        """Return how many bytes are there."""
        try:
            return self.path(draft_id).lstat().st_size
        except OSError:
            return 0

    def changed_s(self, draft_id: str) -> float:
        """Return when bytes last came (Unix seconds); 0 for a draft that is gone."""
        try:
            return self.path(draft_id).lstat().st_mtime
        except OSError:
            return 0.0

    @contextlib.contextmanager
    def appending(self, draft_id: str) -> Iterator[int]:
        """Open a draft to write at its end."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path(draft_id), flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def sealed(self, draft: Draft) -> tuple[Path, str]:
        """Return a complete draft's file, which nobody has open for writing any more, and the hash of what it holds.

        Raises
        ------
        Conflict
            Somebody still writes to it, or wrote while it was hashed.
        BadRequest
            It is not a plain file of the node's user, or has another size or hash than was said.
        """
        path = self.path(draft.id)
        before = _checked(path, draft)
        _close_to_writers(path, draft.name)
        sha256 = hash_of(path)
        after = path.lstat()
        if _facts(before) != _facts(after):
            raise Conflict(f"the upload {draft.name} was written to while it was stored", retryable=True)
        if draft.sha256 and sha256 != draft.sha256:
            raise BadRequest(
                f"the upload {draft.name} arrived with SHA-256 {sha256[:12]}…, and {draft.sha256[:12]}… was announced",
                hint="the file changed while it was sent, or the transfer broke it: send it again",
            )
        return path, sha256

    def remove(self, draft_id: str) -> None:
        """Remove a draft, if it is there."""
        if _ID.fullmatch(draft_id):
            remove_tree(self.drafts / draft_id)


def new_id() -> str:
    """Return the ID of a new draft."""
    return uuid.uuid4().hex


def no_such(draft_id: str) -> NotFound:
    """Return the error for a draft that is not there."""
    return NotFound(
        f"there is no upload {draft_id[:40]!r}",
        hint="it may have been complete, given up, or removed after a day without a byte: begin it again",
    )


def _checked(path: Path, draft: Draft) -> os.stat_result:
    info = path.lstat()
    # A link to elsewhere, or a second name by which somebody could write, must never become content.
    if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or info.st_uid != os.getuid():
        raise BadRequest(f"the upload {draft.name} is not a file that the node's own user wrote")
    if draft.size not in (UNKNOWN, info.st_size):
        raise BadRequest(
            f"the upload {draft.name} has {info.st_size:,} bytes, and {draft.size:,} were announced",
            hint="the file changed while it was sent: send it again",
        )
    return info


def _close_to_writers(path: Path, name: str) -> None:
    """Take the right to write away, and ask the kernel for a read lease: nobody has such a file open for writing."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o444)
        if not hasattr(fcntl, "F_SETLEASE"):
            return
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, _LEASE_READ)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        raise Conflict(f"the upload {name} is still open for writing", retryable=True) from None
    except OSError:
        return  # a file system without leases
    finally:
        os.close(descriptor)


def _facts(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_ino, info.st_size, info.st_mtime_ns


def _described(directory: Path) -> Draft | None:
    try:
        draft = msgspec.json.decode((directory / ABOUT).read_bytes(), type=Draft)
        there = stat.S_ISREG((directory / CONTENT).lstat().st_mode)
    except (OSError, msgspec.MsgspecError):
        return None
    return draft if there and draft.id == directory.name and _ID.fullmatch(draft.id) else None
