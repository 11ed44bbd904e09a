"""Files of a result: read in place with read-ahead, or looked up by name and fetched then."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FIRST = 256 * 1024
_MOST = 8 << 20
_BUFFER = 64 * 1024

Fetch = Callable[[int, int], bytes]
"""Returns the bytes between two places of a file."""


def open_remote(size: int, fetch: Fetch, name: str) -> BinaryIO:
    """Return a buffered binary file over ``fetch``."""
    return cast(BinaryIO, io.BufferedReader(RemoteFile(size, fetch, name), _BUFFER))


class RemoteFile(io.RawIOBase):
    """Reads a window at a time; it doubles while the reader reads on, and starts small after a jump."""

    def __init__(self, size: int, fetch: Fetch, name: str) -> None:
        self.name = name
        self._size = size
        self._fetch = fetch
        self._position = 0
        self._window = b""
        self._start = 0
        self._ahead = _FIRST

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._take(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        data = self._fetch(self._position, self._size) if self._position < self._size else b""
        self._position += len(data)
        return data

    def _take(self, count: int) -> bytes:
        count = min(count, self._size - self._position)
        if count <= 0:
            return b""
        end = self._start + len(self._window)
        if not self._start <= self._position < end:
            self._ahead = min(_MOST, self._ahead * 2) if self._position == end else _FIRST
            stop = min(self._size, self._position + max(count, self._ahead))
            self._start, self._window = self._position, self._fetch(self._position, stop)
        at = self._position - self._start
        data = self._window[at : at + count]
        self._position += len(data)
        return data


class Fetching(Protocol):
    """What `ResultFiles` fetches with."""

    @property
    def path(self) -> Path:
        """Directory with everything."""
        ...

    def local(self, name: str) -> Path:
        """Return where one file lies."""
        ...


class ResultFiles(Mapping[str, Path]):
    """Names are listed, files are fetched when they are looked up; all of them are fetched in one go."""

    def __init__(self, result: Fetching, names: Sequence[str]) -> None:
        self._result = result
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Path:
        if name not in self._names:
            raise KeyError(name)
        return self._result.local(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def items(self) -> Any:
        """Return all names and paths; everything is fetched."""
        root = self._result.path if self._names else Path()
        return {name: root / name for name in self._names}.items()

    def values(self) -> Any:
        """Return all paths; everything is fetched."""
        return dict(self.items()).values()

    def __repr__(self) -> str:
        return f"<files: {', '.join(self)}>"
