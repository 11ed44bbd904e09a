"""The tar in which an IPFS node sends a directory, written to disk as its bytes come.

Directories and files are made in a directory of ours, and never over anything that is there; links are only taken
down, to be made when all else is. So nothing can be written through a link, and after a cut each file simply has the
bytes that came.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import NamedTuple

from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.transfer.core.entry_names import sane_mode
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath
from bacalhau_jupyter.transfer.ipfs.tree import checked_entry, refused

_BLOCK = tarfile.BLOCKSIZE
_MAX_RECORDS = 1 << 20
_KINDS = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.AREGTYPE: EntryKind.FILE,
    tarfile.DIRTYPE: EntryKind.DIRECTORY,
    tarfile.SYMTYPE: EntryKind.LINK,
}


class TarFiles:
    """Writes a tar below a directory that exists. Blocking: call it in a thread, one call at a time.

    Parameters
    ----------
    root
        What was asked for; its name stands before every name in the tar.

    Attributes
    ----------
    files, entries, size
        Files that are whole, all entries so far, and bytes of files so far.
    links
        Links to make.
    ended
        Whether the tar came to its end.
    """

    def __init__(self, root: IpfsPath, directory: Path, component: str) -> None:
        self._root = root
        self._name = root.name
        self._directory = directory
        self._component = component
        self._head = bytearray()
        self._left = 0
        self._padding = 0
        self._records: bytearray | None = None
        self._long: dict[str, str] = {}
        self._descriptor: int | None = None
        self.files = 0
        self.entries = 0
        self.size = 0
        self.links: list[ResultEntry] = []
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the tar.

        Raises
        ------
        EngineError
            It is not a tar.
        IOFailure
            It holds something hostile, or something twice.
        OSError
            A file can't be written.
        """
        view = memoryview(data)
        while view and not self.ended:
            if self._left:
                piece = view[: self._left]
                self._take(piece)
                self._left -= len(piece)
                if not self._left:
                    self._finish()
            elif self._padding:
                piece = view[: self._padding]
                self._padding -= len(piece)
            else:
                piece = view[: _BLOCK - len(self._head)]
                self._head += piece
                if len(self._head) == _BLOCK:
                    self._start(bytes(self._head))
                    self._head.clear()
            view = view[len(piece) :]

    def close(self) -> None:
        """Close the file at which the tar stopped."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _start(self, block: bytes) -> None:
        """Read the header of a member."""
        if not block.strip(b"\0"):
            self.ended = True
            return
        member = _header(block, self._component)
        if member.kind == tarfile.XHDTYPE:
            if member.size > _MAX_RECORDS:
                raise _odd("a header is too large", self._component)
            self._records = bytearray()
            self._expect(member.size)
            return
        records, self._long = self._long, {}
        name = records.get("path", member.name).rstrip("/")
        size = int(records.get("size", member.size))
        kind = _KINDS.get(member.kind)
        if kind is None:
            raise _odd(f"{name[:200]!r} is neither a file, a directory nor a link", self._component)
        first, _, path = name.partition("/")
        if first != self._name:
            raise refused(self._root, f"it holds the name {name[:100]!r}", self._component)
        if not path and kind is EntryKind.DIRECTORY:
            return
        target = records.get("linkpath", member.target)
        entry = checked_entry(self._root, path, kind, size, target, self._component)
        self.entries += 1
        try:
            self._make(entry, member.mode)
        except FileExistsError as error:
            raise refused(self._root, f"it holds {path!r} twice", self._component) from error
        except (FileNotFoundError, NotADirectoryError) as error:
            raise refused(
                self._root, f"it holds the name {path!r} in no directory", self._component
            ) from error

    def _make(self, entry: ResultEntry, mode: int) -> None:
        path = f"{self._directory}/{entry.path}"
        if entry.kind is EntryKind.LINK:
            self.links.append(entry)
        elif entry.kind is EntryKind.DIRECTORY:
            # Whatever user a job runs as may read it; `mkdir` alone would let the umask take that back.
            os.mkdir(path)  # noqa: PTH102 - many files: no Path for each
            os.chmod(path, 0o755)  # noqa: PTH101
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
            os.fchmod(self._descriptor, sane_mode(mode, directory=False, readable=True))
            self._expect(entry.size)

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % _BLOCK
        if not size:
            self._finish()

    def _take(self, piece: memoryview) -> None:
        if self._records is not None:
            self._records += piece
            return
        assert self._descriptor is not None
        written = 0
        while written < len(piece):
            written += os.write(self._descriptor, piece[written:])
        self.size += written

    def _finish(self) -> None:
        if self._records is not None:
            self._long = _pax(bytes(self._records), self._component)
            self._records = None
        elif self._descriptor is not None:
            self.close()
            self.files += 1


class _Header(NamedTuple):
    """What a header block says."""

    name: str
    kind: bytes
    mode: int
    size: int
    target: str


def _header(block: bytes, component: str) -> _Header:
    """Read a header; `tarfile` takes five times as long, for fields that are not used."""
    try:
        if sum(block) - sum(block[148:156]) + 8 * 0x20 != _octal(block[148:156]):
            raise ValueError("a header has a wrong checksum")
        name, prefix = _text(block[:100]), _text(block[345:500])
        return _Header(
            name=f"{prefix}/{name}" if prefix and block[257:262] == b"ustar" else name,
            kind=block[156:157],
            mode=_octal(block[100:108]),
            size=_octal(block[124:136]),
            target=_text(block[157:257]),
        )
    except ValueError as error:
        raise _odd(str(error), component) from error


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _octal(field: bytes) -> int:
    if field[0] & 0x80:
        # GNU's way to write more than eleven octal digits.
        return int.from_bytes(field[1:], "big")
    return int(field.partition(b"\0")[0].strip() or b"0", 8)


def _odd(reason: str, component: str) -> EngineError:
    return EngineError(f"the tar that the IPFS node sends is broken: {reason}", component=component)


def _pax(data: bytes, component: str) -> dict[str, str]:
    """Read the records of a pax header: a length, a space, ``KEY=VALUE`` and a line feed each."""
    records: dict[str, str] = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(data):
            raise _odd("a header has no records", component)
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[int(length) :]
    return records
