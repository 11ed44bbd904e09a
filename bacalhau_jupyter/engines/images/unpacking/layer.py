"""One layer to a directory of its own.

The same rule as for archives (`transfer.archive.unpacking`) keeps it safe: files and directories are made first, in a
fresh directory that no other process writes to, and symbolic links only when all else is there; so nothing can be
written through a link. What is particular to layers: links may lead anywhere (they are followed inside a job only),
whiteouts say what to remove from the layers below, and a member may replace an earlier one.
"""

from __future__ import annotations

import math
import os
import re
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from bacalhau_jupyter.engines.images.unpacking.headers import Header
from bacalhau_jupyter.engines.images.unpacking.linking import copy, linked
from bacalhau_jupyter.engines.images.unpacking.orders import NO_ROOM, Layer, Owner, refused
from bacalhau_jupyter.engines.images.unpacking.streams import LayerStream
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import to_wire
from bacalhau_jupyter.transfer.archive.tarstream import TarStream

MAX_MEMBERS = 1_000_000
MAX_NAME = 2000
"""Bytes of a path; with the directories above it must stay below what the system takes."""
_MAX_NAMES = 64 << 20
_MAX_NOTES = 4 << 20
"""Characters of what is written down beside the directory: removals, links to layers below."""
_CLUSTER, _SMALL = 4096, 512
_TELL_EVERY = 1 << 20
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_PLAIN = re.compile(r"(?:[A-Za-z0-9_+-][A-Za-z0-9_.+-]*/)*[A-Za-z0-9_+-][A-Za-z0-9_.+-]*", re.ASCII)
"""Most names: nothing in them has to be looked at."""
_NOBODY, _IDS = 65534, 65536
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)


@dataclass(frozen=True)
class _Facts:
    mode: int
    uid: int
    gid: int
    mtime_ns: int


def layer_name(name: str) -> str:
    """Return a member's path from the top, ``""`` for the top itself; an absolute one counts from the top, too.

    Raises
    ------
    IOFailure
        It climbs out, or no file can have it.
    """
    if len(name) < 255 and _PLAIN.fullmatch(name):
        return name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refused(f"{name[:200]!r} leads outside")
    if (
        "\0" in name
        or len(os.fsencode(name)) > MAX_NAME
        or any(len(os.fsencode(part)) > 255 for part in parts)
    ):
        raise refused(f"{name[:40]!r}… is a name that no file can have")
    return "/".join(parts)


class LayerUnpacker:
    """Unpacks one layer.

    Parameters
    ----------
    root
        Empty and ours; after an error it holds a part.
    max_bytes
        What it may take on the disk.
    tell
        Gets the bytes that it takes, before they are written.
    """

    def __init__(
        self,
        source: LayerStream,
        root: Path,
        owner: Owner,
        max_bytes: int,
        tell: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._stream = TarStream(cast(BinaryIO, source), plain=True)
        self._root = str(root)
        self._owner = owner
        self._max_bytes = max_bytes
        self._tell = tell
        self._last_told_size = 0
        self._kinds: dict[str, bytes] = {"": tarfile.DIRTYPE}
        self._directories: dict[str, _Facts | None] = {}
        self._links: dict[str, tuple[str, _Facts]] = {}
        self._below: dict[str, str] = {}
        self._whiteouts: list[str] = []
        self._opaques: list[str] = []
        self._name_bytes = 0
        self._members = 0
        self._size = 0
        self._left_out = 0
        self._ours: tuple[int, int] | None = None

    def unpack(self) -> Layer:
        """Do it; digests are left empty.

        Raises
        ------
        IOFailure
            It breaks a rule, or takes too much.
        tarfile.TarError, EOFError, ValueError
            It is broken.
        OSError
            The disk is full, say.
        """
        with tarfile.TarFile(
            fileobj=cast(BinaryIO, self._stream),
            mode="r",
            encoding="utf-8",
            errors="surrogateescape",
            tarinfo=Header,
        ) as tar:
            kept = cast(Any, tar)
            while (member := tar.next()) is not None:
                self._stream.header_bytes = 0
                self._add(member)
                # It would keep every header.
                kept.members.clear()
                kept.pax_headers.clear()
        self._stream.check_end()
        self._finish()
        implied = [name for name, facts in self._directories.items() if facts is None]
        notes = (self._whiteouts, self._opaques, implied, self._below, self._below.values())
        if sum(len(name) + 1 for names in notes for name in names) > _MAX_NOTES:
            raise refused("a layer removes, or takes from layers below, more than can be kept in mind")
        return Layer(
            diff_id="",
            digest="",
            size=self._size,
            members=self._members,
            whiteouts=list(map(to_wire, self._whiteouts)),
            opaques=list(map(to_wire, self._opaques)),
            implied=list(map(to_wire, implied)),
            links_below=[(to_wire(name), to_wire(target)) for name, target in self._below.items()],
            left_out=self._left_out,
        )

    def _add(self, member: tarfile.TarInfo) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise refused(f"a layer holds more than {MAX_MEMBERS:,} members")
        self._count_name(len(member.name) + len(member.linkname))
        name = layer_name(member.name)
        above, _, last = name.rpartition("/")
        if last.startswith(_WHITEOUT):
            self._whiteout(above, last)
            return
        if member.isdir():
            self._directory(name, _facts(member))
            return
        if not name:
            raise refused(f"a member is called {member.name[:40]!r}")
        if member.type in _DEVICES:
            self._left_out += 1
            return
        self._parents(name)
        self._make_way(name)
        if member.isreg() and not member.issparse():
            self._file(name, member)
        elif member.issym():
            self._link(name, member.linkname, _facts(member))
        elif member.islnk():
            self._hard_link(name, layer_name(member.linkname))
        elif member.isfifo():
            self._charge(_SMALL)
            os.mkfifo(self._path(name), 0o600)
            self._dress(name, _facts(member), directory=False)
        else:
            raise refused(f"{name!r} is of a kind that layers don't hold")
        self._kinds[name] = tarfile.REGTYPE if member.islnk() and name not in self._links else member.type

    def _whiteout(self, above: str, last: str) -> None:
        self._charge(_SMALL)
        if last == _OPAQUE:
            self._opaques.append(above)
            return
        if last.startswith(_WHITEOUT * 2):
            return  # notes of a storage driver of old
        hidden = last.removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise refused(f"the whiteout {last!r} names nothing")
        self._whiteouts.append(f"{above}/{hidden}" if above else hidden)

    def _directory(self, name: str, facts: _Facts) -> None:
        self._parents(name)
        kind = self._kinds.get(name)
        if kind != tarfile.DIRTYPE:
            if kind is not None:
                self._make_way(name)
            self._make_directory(name)
        self._directories[name] = facts

    def _make_directory(self, name: str) -> None:
        self._charge(_CLUSTER)
        os.mkdir(self._path(name), 0o700)  # noqa: PTH102
        self._kinds[name] = tarfile.DIRTYPE

    def _parents(self, name: str) -> None:
        missing: list[str] = []
        above = name.rpartition("/")[0]
        while above not in self._kinds:
            missing.append(above)
            self._count_name(len(above))
            above = above.rpartition("/")[0]
        if self._kinds[above] != tarfile.DIRTYPE:
            raise refused(f"{name!r} would be written through {above!r}, which is not a directory")
        for directory in reversed(missing):
            self._make_directory(directory)
            self._directories[directory] = None

    def _make_way(self, name: str) -> None:
        """Remove what an earlier member of the same layer made there."""
        kind = self._kinds.pop(name, None)
        if kind == tarfile.DIRTYPE:
            raise refused(f"it holds {name!r} twice, first as a directory")
        below = self._below.pop(name, None)
        if kind is not None and self._links.pop(name, None) is None and below is None:
            os.unlink(self._path(name))  # noqa: PTH108

    def _file(self, name: str, member: tarfile.TarInfo) -> None:
        self._charge(-(-member.size // _CLUSTER) * _CLUSTER + _SMALL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path(name), flags, 0o600)
        try:
            left = member.size
            while left:
                chunk = self._stream.data(left)
                left -= len(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(descriptor, view) :]
            facts = _facts(member)
            if (ids := self._ids(facts)) is not None and ids != self._owner_of_new(descriptor):
                os.fchown(descriptor, *ids)
            os.fchmod(descriptor, self._mode(facts.mode, directory=False))
            os.utime(descriptor, ns=(facts.mtime_ns, facts.mtime_ns))
        finally:
            os.close(descriptor)

    def _owner_of_new(self, descriptor: int) -> tuple[int, int]:
        """Return whose every new file is: ours, and of our group unless the directory above all gives its own."""
        if self._ours is None:
            made = os.fstat(descriptor)
            self._ours = made.st_uid, made.st_gid
        return self._ours

    def _link(self, name: str, target: str, facts: _Facts) -> None:
        if not target or "\0" in target or len(os.fsencode(target)) > MAX_NAME:
            raise refused(f"the link {name!r} leads to what no file can be called")
        self._charge(_SMALL)
        self._links[name] = (target, facts)

    def _hard_link(self, name: str, target: str) -> None:
        kind = self._kinds.get(target)
        self._charge(_SMALL)
        if kind == tarfile.DIRTYPE or not target or target == name:
            raise refused(f"the hard link {name!r} leads to {target!r}, which is not a file")
        if target in self._links:
            self._links[name] = self._links[target]
        elif target in self._below:
            self._below[name] = self._below[target]
        elif kind is None:
            # A file of a layer below; whether there is one is seen when they are put together.
            self._below[name] = target
        elif not linked(self._path(target), self._path(name)):
            self._charge(os.lstat(self._path(target)).st_size)
            copy(self._path(target), self._path(name), with_owner=not self._owner.is_own)

    def _finish(self) -> None:
        for name, (target, facts) in self._links.items():
            path = self._path(name)
            os.symlink(target, path)  # noqa: PTH211
            if (ids := self._ids(facts)) is not None:
                os.chown(path, *ids, follow_symlinks=False)
            os.utime(path, ns=(facts.mtime_ns, facts.mtime_ns), follow_symlinks=False)
        # What lies deeper first: a directory's own times change when something is made in it.
        for name in sorted(self._directories, reverse=True):
            facts = self._directories[name] or _Facts(0o755, 0, 0, 0)
            self._dress(name, facts, directory=True)
        if "" not in self._directories:
            self._dress("", _Facts(0o755, 0, 0, 0), directory=True)
            self._directories[""] = None

    def _dress(self, name: str, facts: _Facts, *, directory: bool) -> None:
        path = self._path(name)
        if (ids := self._ids(facts)) is not None:
            os.chown(path, *ids, follow_symlinks=False)
        os.chmod(path, self._mode(facts.mode, directory=directory))  # noqa: PTH101
        os.utime(path, ns=(facts.mtime_ns, facts.mtime_ns), follow_symlinks=False)

    def _ids(self, facts: _Facts) -> tuple[int, int] | None:
        owner = self._owner
        if owner.shift >= 0:
            return owner.shift + _bounded(facts.uid), owner.shift + _bounded(facts.gid)
        return None if owner.uid < 0 and owner.gid < 0 else (owner.uid, owner.gid)

    def _mode(self, mode: int, *, directory: bool) -> int:
        # No set-uid, no set-gid; the sticky bit means something for directories only.
        mode &= 0o1777 if directory else 0o777
        mode |= 0o700 if directory else 0o400
        if self._owner.readable:
            mode |= 0o055 if directory else 0o044 | (0o011 if mode & 0o111 else 0)
        return mode

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _charge(self, size: int) -> None:
        self._size += size
        if self._size > self._max_bytes:
            raise IOFailure(
                f"the image takes more than the {format_bytes(self._max_bytes)} that images have here",
                hint="remove images that are not needed (`bacalhau-jupyter image clean`), or give images more room "
                "(Engines.Docker.ImageQuota)",
                code=NO_ROOM,
                component="Images",
                fails_execution=True,
            )
        if self._size - self._last_told_size >= _TELL_EVERY:
            self._last_told_size = self._size
            self._tell(self._size)

    def _count_name(self, characters: int) -> None:
        self._name_bytes += characters
        if self._name_bytes > _MAX_NAMES:
            raise refused(f"the names of a layer take more than {format_bytes(_MAX_NAMES)}")


def _facts(member: tarfile.TarInfo) -> _Facts:
    seconds = 0.0 if math.isnan(member.mtime) else min(max(0, member.mtime), 1 << 33)
    mtime_ns = int(seconds * 1_000_000_000)
    return _Facts(stat.S_IMODE(member.mode), member.uid, member.gid, mtime_ns)


def _bounded(number: int) -> int:
    return number if 0 <= number < _IDS else _NOBODY
