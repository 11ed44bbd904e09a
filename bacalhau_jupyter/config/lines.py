"""A bounded file of one JSON record per line in the repo directory; any number of processes may write it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from bacalhau_jupyter.config.files import io_explained, locked, write_atomic
from bacalhau_jupyter.models.errors import IOFailure

if TYPE_CHECKING:
    from bacalhau_jupyter.config.repo import Repo

FILE_LIMIT = 512 * 1024
"""Bytes after which the older half of a file is dropped."""
LINE_LIMIT = 8 * 1024
LOCK_WAIT_S = 0.1
"""Seconds: a cell waits for its record, and two lines that are appended at once are whole all the same."""

R = TypeVar("R", bound=msgspec.Struct)


class LineFile(Generic[R]):
    """The records of one file.

    Parameters
    ----------
    repo
        The directory that holds it; made with the first record.
    name
        The file's name there.
    record
        The type of its records.
    """

    def __init__(self, repo: Repo, name: str, record: type[R]) -> None:
        self._repo = repo
        self._path: Path = repo.path / name
        self._record = record

    def add(self, record: R) -> None:
        """Append a record; the oldest ones go when there are many.

        Raises
        ------
        IOFailure
            The record is too long, or the file can't be written.
        """
        line = msgspec.json.encode(record) + b"\n"
        if len(line) > LINE_LIMIT:
            raise IOFailure(f"the record is too long for {self._path.name}", component="Repo")
        self._repo.create()
        with io_explained("can't write", self._path), locked(self._path, LOCK_WAIT_S):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            handle = os.open(self._path, flags, 0o600)
            try:
                os.write(handle, line)
                size = os.fstat(handle).st_size
            finally:
                os.close(handle)
            if size > FILE_LIMIT:
                self._shorten()

    def every(self) -> list[R]:
        """Return the records, the oldest first; lines that can't be read are left out.

        Raises
        ------
        IOFailure
            The file can't be read.
        """
        records = []
        for line in self._lines():
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                records.append(msgspec.json.decode(line, type=self._record))
        return records

    def _lines(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                # A file that something else made endless is not read to its end.
                return file.read(2 * FILE_LIMIT).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise IOFailure(
                f"can't read {self._path}: {error.strerror or error}", component="Repo"
            ) from error

    def _shorten(self) -> None:
        lines = self._lines()
        kept = b"\n".join(lines[len(lines) // 2 :]) + b"\n"
        write_atomic(self._path, kept.decode(errors="replace"))
