"""What inputs of this machine hold: files, folders, values of this process."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bacalhau_jupyter.client.inputs.pending import PHASE, FileKey
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import shown, to_wire
from bacalhau_jupyter.models.records.progress import Progress, Reading
from bacalhau_jupyter.transfer.core.files import CHUNK, check_interrupted

_FOR_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class FileContent:
    """A file of this machine; links to it are followed once."""

    path: Path
    name: str
    size: int
    is_archive: bool = False

    @classmethod
    def of(cls, path: Path) -> FileContent:
        """Look at a file.

        Raises
        ------
        BadRequest
            It is not a plain file.
        OSError
            It is not there.
        """
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise BadRequest(
                f"-i/--input: {shown(str(path))} is neither a file nor a directory",
                hint="write what it gives to a file first",
            )
        return cls(path, _tellable(path.name) or "file", info.st_size)

    def key(self) -> FileKey | None:
        """Return what tells that the file is the same as before."""
        try:
            return _key(self.path.stat())
        except OSError:
            return None

    def write(self, path: Path, progress: Progress, stop: threading.Event) -> None:
        """Copy the file; its blocks are shared where the file system can."""
        source = self._open()
        try:
            from bacalhau_jupyter.transfer.core.taking import copy_descriptor

            before = os.fstat(source)
            with path.open("wb", buffering=0) as target:
                copied = copy_descriptor(source, target.fileno(), stop)
            self._check(before, os.fstat(source), copied)
            progress(Reading(PHASE, copied, before.st_size))
        finally:
            os.close(source)

    def inline(self) -> bytes:
        """Return the file."""
        source = self._open()
        with os.fdopen(source, "rb") as file:
            before = os.fstat(source)
            data = file.read()
            self._check(before, os.fstat(source), len(data))
            return data

    def _open(self) -> int:
        try:
            descriptor = os.open(self.path, _FOR_READING)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _changed(self.path)
        return descriptor

    def _check(self, before: os.stat_result, after: os.stat_result, copied: int) -> None:
        if _key(before) != _key(after) or copied != before.st_size:
            raise _changed(self.path)


@dataclass(frozen=True)
class FolderContent:
    """A directory of this machine: links to files are files, links to directories are left out."""

    path: Path
    name: str
    size: int
    only: str = ""
    is_archive: bool = True

    @classmethod
    def of(cls, path: Path, only: str = "") -> FolderContent:
        """Look at a directory and all that is in it, or at one entry.

        Raises
        ------
        OSError
            It can't be read.
        """
        from bacalhau_jupyter.client.inputs.folders import Listing

        top = path.resolve()
        size = sum(item.info.st_size for item in Listing(top, only).files())
        return cls(top, f"{_tellable(top.name) or 'folder'}.tar.gz", size, only)

    def key(self) -> FileKey | None:
        """Return None: a directory's times tell nothing of what is in it."""
        return None

    def write(self, path: Path, progress: Progress, stop: threading.Event) -> None:
        """Pack it."""
        from bacalhau_jupyter.client.inputs.folders import Listing, pack_folder

        pack_folder(
            Listing(self.path, self.only),
            path,
            lambda reading: progress(Reading(PHASE, reading.done, reading.total)),
            stop,
        )

    def inline(self) -> dict[str, bytes]:
        """Return its files."""
        from bacalhau_jupyter.client.inputs.folders import Listing

        try:
            return {
                item.name: (self.path / item.name).read_bytes()
                for item in Listing(self.path, self.only).files()
            }
        except OSError as error:
            raise _unreadable(Path(str(error.filename or self.path)), error) from error


@dataclass(frozen=True)
class ValueContent:
    """A value of this process, which writes itself to a file.

    Attributes
    ----------
    size
        Bytes, or an estimate.
    writer
        Writes it to a path. Blocks.
    """

    name: str
    size: int
    writer: Callable[[Path], None]
    is_archive: bool = False

    def key(self) -> FileKey | None:
        """Return None: the value may have changed."""
        return None

    def write(self, path: Path, progress: Progress, stop: threading.Event) -> None:
        """Write it."""
        self.writer(path)
        check_interrupted(stop)

    def inline(self) -> bytes:
        """Return what it writes."""
        from bacalhau_jupyter.transfer.core.scratch import scratch_directory

        place = scratch_directory(self) / "value"
        self.writer(place)
        return place.read_bytes()


@dataclass(frozen=True)
class FilesContent:
    """Files that only this process has, by name."""

    name: str
    files: Mapping[str, bytes]
    is_archive: bool = True

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(map(len, self.files.values()))

    def key(self) -> FileKey | None:
        """Return None: nothing tells."""
        return None

    def write(self, path: Path, progress: Progress, stop: threading.Event) -> None:
        """Pack them."""
        with path.open("wb") as file:
            pack_files(self.files, file)

    def inline(self) -> Mapping[str, bytes]:
        """Return them."""
        return self.files


def pack_files(files: Mapping[str, bytes], file: BinaryIO) -> None:
    """Write a gzip tar of files and the directories that their names stand for."""
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for directory in sorted({str(parent) for name in files for parent in Path(name).parents} - {"."}):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))


def bytes_content(name: str, data: bytes) -> ValueContent:
    """Return bytes as a content."""

    def write(path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(data), CHUNK):
                file.write(memoryview(data)[at : at + CHUNK])

    return ValueContent(name, len(data), write)


def _tellable(name: str) -> str:
    """Return a name for the upload of a file: what the job sees is its target."""
    text = "".join(sign if sign.isprintable() and sign not in "/\\" else "_" for sign in to_wire(name))
    return text.encode()[:200].decode(errors="ignore").strip(".")


def _key(info: os.stat_result) -> FileKey:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _unreadable(path: Path, error: OSError) -> BadRequest:
    return BadRequest(f"-i/--input: {shown(str(path))} can't be read: {error.strerror}")


def _changed(path: Path) -> BadRequest:
    return BadRequest(
        f"-i/--input: {shown(str(path))} changed while it was sent",
        hint="submit the job when nothing writes to it any more",
    )
