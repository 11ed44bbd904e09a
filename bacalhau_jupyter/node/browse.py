"""What this node could read inputs from, place by place (``api.services.data.DataBrowser``)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.errors import BadRequest, Forbidden, IOFailure, NotFound
from bacalhau_jupyter.models.names import shown, to_wire
from bacalhau_jupyter.models.wire.api import DataEntry, ListDataResponse
from bacalhau_jupyter.sources.allowlist import KEY, AllowedPath, parse_allow_list, split_glob

COMPONENT = "DataBrowser"
_FILE = "file://"
_PATH_LIMIT, _NAME_LIMIT = 4000, 255
"""Characters of a path, and bytes of a name in it, that file systems take."""
_SAFE = "/-._~!$&'()*+,;=:@"


class InputPlace(Protocol):
    """Somewhere that inputs can come from."""

    scheme: str
    """How its URIs start, ``://`` included."""

    name: str
    """What people call it."""

    async def is_offered(self) -> bool:
        """Whether it is set up on this node."""
        ...

    async def look(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return one page of what lies at ``uri``; raises BacalhauError."""
        ...


class DataPlaces:
    """Every place that inputs can come from, by the scheme of its URIs."""

    def __init__(self, *places: InputPlace) -> None:
        self._places = {place.scheme: place for place in places}

    async def list(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return one page of what lies at ``uri``; the places themselves where it is empty."""
        if not uri:
            offered = [place for place in self._places.values() if await place.is_offered()]
            return ListDataResponse(
                entries=[DataEntry(name=place.name, uri=place.scheme, kind="directory") for place in offered]
            )
        place = self._places.get(uri.partition("://")[0] + "://")
        if place is None:
            raise BadRequest(
                f"this node has no data at {uri[:80]}",
                hint="places: " + (", ".join(self._places) or "none"),
            )
        return await place.look(uri, limit, token)


class LocalPaths:
    """Paths that the node's owner shares with jobs (``Compute.AllowListedLocalPaths``).

    Parameters
    ----------
    allow_list
        The configured value, read anew for each look.
    hidden
        Paths that are never shown, nor what lies below them.
    """

    scheme = _FILE
    name = "Local paths"

    def __init__(self, allow_list: Callable[[], object], hidden: Sequence[Path]) -> None:
        self._allow_list = allow_list
        self._hidden = [Path(os.path.realpath(path)) for path in hidden]

    async def is_offered(self) -> bool:
        """Whether anything is shared."""
        return bool(parse_allow_list(self._allow_list()))

    async def look(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return the shared entries of a directory, directories first; of no directory the shared roots.

        Raises
        ------
        BacalhauError
            The path is not shared, does not exist, or can't be read.
        """
        return await asyncio.to_thread(self._list, uri, limit, token)

    def _list(self, uri: str, limit: int, token: str) -> ListDataResponse:
        allowed = parse_allow_list(self._allow_list())
        path = unquote(uri.removeprefix(_FILE), errors="surrogateescape")
        if (
            "\0" in path
            or len(path) > _PATH_LIMIT
            or any(len(os.fsencode(part)) > _NAME_LIMIT for part in path.split("/"))
        ):
            raise BadRequest(f"{shown(path[:60])!r} is not a possible file path")
        entries = self._entries(Path(path), allowed) if path else self._roots(allowed)
        entries.sort(key=lambda entry: (entry.kind != "directory", entry.name))
        first = page_start(token)
        page = entries[first : first + limit]
        after = first + len(page)
        return ListDataResponse(uri=uri, entries=page, next_token=str(after) if after < len(entries) else "")

    def _roots(self, allowed: Sequence[AllowedPath]) -> list[DataEntry]:
        fixed = dict.fromkeys(os.path.realpath(split_glob(entry.glob)[0]) for entry in allowed)
        roots = (self._describe(Path(path), path, allowed) for path in fixed)
        return [entry for entry in roots if entry is not None]

    def _entries(self, path: Path, allowed: Sequence[AllowedPath]) -> list[DataEntry]:
        real = Path(os.path.realpath(path))
        if not path.is_absolute() or not _is_shown(real, allowed) or self._is_hidden(real):
            raise Forbidden(
                f"this node does not share {shown(str(path)[:200])}",
                hint=f"the node's owner can add it to {KEY}",
            )
        try:
            entries = [self._describe(real / name, name, allowed) for name in _names(real)]
        except beneath.Changed:
            raise Forbidden(f"{shown(str(path))} changed while it was read") from None
        except FileNotFoundError:
            raise NotFound(f"{shown(str(path))} does not exist") from None
        except NotADirectoryError:
            raise BadRequest(f"{shown(str(path))} is a file") from None
        except OSError as error:
            raise IOFailure(f"{shown(str(path))} can't be listed: {error.strerror}") from error
        return [entry for entry in entries if entry is not None]

    def _describe(self, path: Path, name: str, allowed: Sequence[AllowedPath]) -> DataEntry | None:
        """Describe an entry; None where it is not shared, not readable, or no file or directory."""
        real = Path(os.path.realpath(path))
        if self._is_hidden(real) or not _is_shown(real, allowed):
            return None
        try:
            info = real.stat()
        except OSError:
            return None
        is_directory = real.is_dir()
        if not (is_directory or real.is_file()) or not os.access(real, os.R_OK):
            return None
        return DataEntry(
            name=to_wire(name),
            uri=_FILE + quote(os.fsencode(path), safe=_SAFE),
            kind="directory" if is_directory else "file",
            size=0 if is_directory else info.st_size,
            modify_time=info.st_mtime_ns,
            writable=any(entry.writable and entry.matches(real) for entry in allowed),
        )

    def _is_hidden(self, path: Path) -> bool:
        return any(path == hidden or hidden in path.parents for hidden in self._hidden)


def _names(directory: Path) -> list[str]:
    opened = beneath.open_path(directory, beneath.DIRECTORY)
    try:
        return os.listdir(opened)  # noqa: PTH208
    finally:
        os.close(opened)


def _is_shown(path: Path, allowed: Sequence[AllowedPath]) -> bool:
    """Whether a job could see the path, or it leads to one that a job could see."""
    for entry in allowed:
        if any(entry.matches(candidate) for candidate in (path, *path.parents)):
            return True
        if path.is_dir() and any(leading.matches(path) for leading in _leading(entry)):
            return True
    return False


def _leading(entry: AllowedPath) -> Iterator[AllowedPath]:
    """Yield globs of the directories between the fixed part of an entry and what it means."""
    fixed, rest = split_glob(entry.glob)
    parts = [part for part in rest.split("/") if part]
    for count in range(len(parts)):
        glob = "/".join((fixed.rstrip("/"), *parts[:count])) or "/"
        yield AllowedPath(glob, writable=False)


def page_start(token: str) -> int:
    """Return where a page starts in a list, by its token; raises BadRequest for nonsense."""
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise BadRequest(f"{token[:40]!r} is not a token of this list")
    return int(token)
