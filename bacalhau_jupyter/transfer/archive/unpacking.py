"""Unpacking archives of strangers.

The rule that keeps it safe: files and directories are made first, in a fresh directory that no other process writes
to, and links only when everything else is there; so nothing can ever be written through a link. A link is made
only if it can't lead outside. What `tarfile` reads into memory is bounded, too, and Python's own extraction
filters, which early 3.11 lacks, are not needed.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.archive.tarstream import TarStream
from bacalhau_jupyter.transfer.core.entry_names import refused, safe_name, sane_mode
from bacalhau_jupyter.transfer.core.files import CHUNK, check_interrupted
from bacalhau_jupyter.transfer.core.links import is_plain_link

_MAX_NAMES = 256 << 20
_RATIO_GRACE = 1 << 20
_BROKEN = (
    tarfile.TarError,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to.

    Attributes
    ----------
    max_bytes
        Bytes of all files together.
    max_members
        Files, directories and links.
    max_ratio
        Unpacked bytes per packed byte (looked at after the first MiB), or None. Gzip's own limit is 1032, which
        a file of zeros reaches honestly.
    """

    max_bytes: int = 100_000_000_000
    max_members: int = 1_000_000
    max_ratio: float | None = None


@dataclass
class UnpackReport:
    """What came out of an archive: the number of members, and bytes of files."""

    members: int = 0
    size: int = 0


class _Unpacker:
    def __init__(
        self,
        reader: TarStream,
        root: Path,
        limits: Limits,
        *,
        readable: bool,
        progress: Progress,
        total: int | None,
        stop: threading.Event | None,
        as_is: bool,
    ) -> None:
        self.reader = reader
        self.root = root
        self.limits = limits
        self.readable = readable
        self.progress = progress
        self.total = total
        self.stop = stop
        self.as_is = as_is
        self.report = UnpackReport()
        self.kinds: dict[str, bytes] = {"": tarfile.DIRTYPE}
        self.directories: list[tuple[str, int, int]] = []
        self.links: list[tuple[str, str]] = []
        self.name_bytes = 0
        self.told_bytes = 0

    def unpack(self) -> UnpackReport:
        # tarfile only ever calls read, seek and tell on it.
        with tarfile.TarFile(
            fileobj=cast(BinaryIO, self.reader), mode="r", encoding="utf-8", errors="surrogateescape"
        ) as tar:
            kept = cast(Any, tar)
            while (member := tar.next()) is not None:
                check_interrupted(self.stop)
                self.reader.header_bytes = 0
                self._add(member)
                # It would keep every header of an archive of millions.
                kept.members.clear()
                kept.pax_headers.clear()
        self.reader.check_end()
        self._finish()
        return self.report

    def _add(self, member: tarfile.TarInfo) -> None:
        self.report.members += 1
        if self.report.members > self.limits.max_members:
            raise refused(f"it holds more than {self.limits.max_members} members")
        self._count_name(len(member.name) + len(member.linkname))
        name = safe_name(member.name)
        if member.isdir():
            self._directory(name, member)
            return
        if not name:
            raise refused(f"a member is called {member.name!r}")
        self._parents(name)
        if name in self.kinds:
            raise refused(f"it holds {name!r} twice")
        self.kinds[name] = member.type
        if member.isreg() and not member.issparse():
            self._file(name, member)
        elif member.issym():
            here = name.rpartition("/")[0]
            if not self.as_is and not is_plain_link(here, member.linkname):
                raise refused(f"the link {name!r} points outside, to {member.linkname!r}")
            self.links.append((name, member.linkname))
        elif member.islnk():
            self._hard_link(name, member.linkname)
        elif not self.as_is or member.issparse():
            raise refused(f"{name!r} is neither a file, a directory nor a link")

    def _directory(self, name: str, member: tarfile.TarInfo) -> None:
        self._parents(name)
        if self.kinds.setdefault(name, tarfile.DIRTYPE) != tarfile.DIRTYPE:
            raise refused(f"it holds {name!r} twice")
        if name:
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
        self.directories.append((name, member.mode, _seconds(member.mtime)))

    def _parents(self, name: str) -> None:
        """Make the directories above a member; an archive need not list them."""
        missing: list[str] = []
        parent = name.rpartition("/")[0]
        while parent not in self.kinds:
            missing.append(parent)
            self._count_name(len(parent))
            parent = parent.rpartition("/")[0]
        if self.kinds[parent] != tarfile.DIRTYPE:
            raise refused(f"{name!r} would be written through {parent!r}, which is not a directory")
        for directory in reversed(missing):
            (self.root / directory).mkdir(mode=0o700)
            self.kinds[directory] = tarfile.DIRTYPE
            self.directories.append((directory, 0o755, 0))

    def _count_name(self, characters: int) -> None:
        self.name_bytes += characters
        if self.name_bytes > _MAX_NAMES:
            raise refused(f"its names take more than {format_bytes(_MAX_NAMES)}")

    def _file(self, name: str, member: tarfile.TarInfo) -> None:
        if self.report.size + member.size > self.limits.max_bytes:
            raise refused(f"it unpacks to more than {format_bytes(self.limits.max_bytes)}")
        path = self.root / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            left = member.size
            while left:
                check_interrupted(self.stop)
                chunk = self.reader.data(left)
                file.write(chunk)
                left -= len(chunk)
                self._account(len(chunk))
            os.fchmod(descriptor, self._mode(member.mode, directory=False))
        self._tell()
        _set_time(path, _seconds(member.mtime))

    def _account(self, count: int) -> None:
        self.report.size += count
        packed, ratio = self.reader.packed_bytes, self.limits.max_ratio
        if ratio is not None and self.report.size > _RATIO_GRACE and self.report.size > ratio * packed:
            raise refused(f"it unpacks to more than {ratio:g} times its size")
        if self.report.size - self.told_bytes >= CHUNK:
            self._tell()

    def _tell(self) -> None:
        self.told_bytes = self.report.size
        done = self.told_bytes if self.total is None else self.reader.packed_bytes
        self.progress(Reading("unpacking", done, self.total))

    def _hard_link(self, name: str, target: str) -> None:
        source = safe_name(target)
        kind = self.kinds.get(source)
        if self.as_is and kind is not None and kind not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE):
            # A second name of a link; one of a pipe or device is left out as the first one was.
            self.kinds[name] = kind
            self.links += [(name, leads) for link, leads in self.links if link == source]
            return
        if kind not in tarfile.REGULAR_TYPES:
            raise refused(
                f"the link {name!r} points to {target!r}, which is not a file before it in the archive"
            )
        os.link(self.root / source, self.root / name, follow_symlinks=False)
        self.kinds[name] = tarfile.REGTYPE

    def _mode(self, mode: int, *, directory: bool) -> int:
        if self.as_is:
            return mode & 0o777 | (0o700 if directory else 0o600)
        return sane_mode(mode, directory=directory, readable=self.readable)

    def _finish(self) -> None:
        for name, target in self.links:
            (self.root / name).symlink_to(target)
        for name, mode, mtime in reversed(self.directories):
            path = self.root / name
            path.chmod(self._mode(mode, directory=True))
            if mtime:
                _set_time(path, mtime)


def _seconds(mtime: float) -> int:
    return min(max(0, int(mtime)), 1 << 40)


def _set_time(path: Path, mtime: int) -> None:
    os.utime(path, (mtime, mtime), follow_symlinks=False)


def unpack_into(
    source: BinaryIO,
    root: Path,
    *,
    limits: Limits,
    readable: bool = False,
    as_is: bool = False,
    progress: Progress = no_progress,
    stop: threading.Event | None = None,
) -> UnpackReport:
    """Unpack a tar, gzip or plain, into an empty directory of ours. Blocking: call it in a thread.

    Parameters
    ----------
    source
        A seekable binary file.
    root
        Private and empty; after an error it holds a part, and the caller removes it.
    readable
        Whether every user may read what is unpacked (a job may run as another user).
    as_is
        Whether it is to look as a task left it: modes are kept (but set-uid), links lead wherever they did (they
        are still made last), and pipes and devices are left out. Readers must not follow its links.
    progress
        Gets phase ``unpacking`` and packed bytes of the packed size.

    Raises
    ------
    IOFailure
        The archive is broken, hostile, or larger than ``limits``; the member is named.
    OSError
        The disk is full, or a name is too long for it.
    Interrupted
        ``stop`` was set.
    """
    try:
        reader = TarStream(source)
        total = os.fstat(source.fileno()).st_size if _is_file(source) else None
        unpacker = _Unpacker(
            reader, root, limits, readable=readable, progress=progress, total=total, stop=stop, as_is=as_is
        )
        return unpacker.unpack()
    except _BROKEN as error:
        raise IOFailure(
            f"the archive is broken: {str(error) or type(error).__name__}",
            hint="it may have been cut off during the transfer: fetch it again",
        ) from error


def _is_file(source: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    except (OSError, AttributeError):
        return False
