"""The results of all executions as one tree, merged as the official ``job get`` does; nothing is fetched early."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.directories import new_directory
from bacalhau_jupyter.lib.trees import make_directories
from bacalhau_jupyter.models.errors import Conflict, NotFound
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.layout import APPENDED, merge_results
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bacalhau_jupyter.client.results.sources import ResultSource

HIDDEN = ".bacalhau"
"""Directory below ``outputs`` that holds what ``--out`` brings back."""

_MAX_LINKS = 40
_LISTED = 10


@dataclass(frozen=True)
class Part:
    """One entry of one execution's result; ``number`` counts the sources."""

    number: int
    entry: ResultEntry


@dataclass
class Listing:
    """What is there.

    Attributes
    ----------
    merged
        Path → where it is; several parts of a file are either to be joined (`APPENDED`) or clash.
    raw
        ``LABEL/path`` → where it is.
    clashes
        Paths that several executions wrote and that can't be joined.
    """

    merged: dict[str, list[Part]] = field(default_factory=dict)
    raw: dict[str, Part] = field(default_factory=dict)
    clashes: list[str] = field(default_factory=list)


class ResultTree:
    """Results of a job's executions. Use it on one event loop; close it.

    Parameters
    ----------
    sources
        One per execution, in the order of the merged files.
    name
        What to call it in messages.
    """

    def __init__(self, sources: Sequence[ResultSource], name: str) -> None:
        self.sources = sources
        self._name = name
        self._lock = asyncio.Lock()
        self._listing: Listing | None = None

    async def listing(self) -> Listing:
        """Return what is there (asked once)."""
        async with self._lock:
            if self._listing is None:
                entries_by_source = await asyncio.gather(
                    *(source.reader.entries() for source in self.sources)
                )
                self._listing = _merge(entries_by_source, [source.label for source in self.sources])
            return self._listing

    async def entries(self, *, raw: bool = False) -> list[ResultEntry]:
        """Return the entries under their merged names, or, ``raw``, under ``LABEL/path``.

        Raises
        ------
        Conflict
            Several executions wrote the same path, which can't be merged.
        """
        listing = await self.listing()
        if raw:
            return [replace(part.entry, path=name) for name, part in sorted(listing.raw.items())]
        if listing.clashes:
            raise clash(listing.clashes[0])
        return [
            replace(parts[0].entry, path=name, size=sum(part.entry.size for part in parts))
            for name, parts in listing.merged.items()
        ]

    async def find(self, name: str) -> tuple[str, list[Part]]:
        """Return a path as it is listed and where it is: by its merged or raw name, or below ``outputs``.

        Links are followed. The root is ``""``.

        Raises
        ------
        NotFound
            It is not there; what is there is listed.
        Conflict
            Several executions wrote it.
        """
        listing = await self.listing()
        normal_name = posixpath.normpath(name.strip("/")) if name.strip("/") else ""
        for tried in (normal_name, f"outputs/{normal_name}"):
            if tried in listing.merged:
                if tried in listing.clashes:
                    raise clash(tried)
                parts = [self._followed(listing, part) for part in listing.merged[tried]]
                return tried, parts
        if normal_name in listing.raw:
            return normal_name, [self._followed(listing, listing.raw[normal_name])]
        raise self._missing(listing, name)

    async def read(
        self, parts: Sequence[Part], start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the bytes of one file, whose parts (of several executions) follow each other."""
        for part in parts:
            size = part.entry.size
            end = size if stop is None else min(size, stop)
            if start < end:
                reader = self.sources[part.number].reader
                stream = cast("AsyncGenerator[bytes, None]", reader.read(part.entry.path, start, end))
                async with aclosing(stream) as chunks:
                    async for chunk in chunks:
                        yield chunk
            start = max(0, start - size)
            stop = None if stop is None else max(0, stop - size)

    async def files(self, *, raw: bool = False) -> dict[str, list[Part]]:
        """Return all files, links to files among them, by their merged or raw names; clashing ones are left in.

        Where several executions wrote a path that can't be merged, it has all their parts.
        """
        listing = await self.listing()
        named = {name: [part] for name, part in sorted(listing.raw.items())} if raw else listing.merged
        parts_by_name = {
            name: [self._followed(listing, part) for part in parts] for name, parts in named.items()
        }
        return {
            name: parts
            for name, parts in parts_by_name.items()
            if all(part.entry.kind is EntryKind.FILE for part in parts)
        }

    async def bring(self, cache: Path, name: str, parts: Sequence[Part], progress: Progress) -> Path:
        """Return where a file lies below ``cache``, fetching it when it is not there yet."""
        if len(parts) == 1:
            place = cache / str(parts[0].number)
            file = place / parts[0].entry.path
            if not await asyncio.to_thread(file.exists):
                await asyncio.to_thread(place.mkdir, exist_ok=True)
                await self.sources[parts[0].number].reader.save(place, parts[0].entry.path, progress)
            return file
        file = cache / "merged" / name
        if not await asyncio.to_thread(file.exists):
            await asyncio.to_thread(make_directories, file.parent)
            data = b"".join([chunk async for chunk in self.read(parts)])
            await asyncio.to_thread(file.write_bytes, data)
        return file

    async def save(
        self,
        target: Path,
        name: str = "",
        progress: Progress = no_progress,
        *,
        may_link: bool = False,
    ) -> str:
        """Write everything, or one file or subtree under its path, below ``target``; return that path.

        With ``may_link`` files may be further names of those that the node keeps: nobody may write to them.
        """
        listing = await self.listing()
        if not name.strip("/"):
            if listing.clashes:
                raise clash(str(target / listing.clashes[0]))
            await self._save([(number, "") for number in range(len(self.sources))], target, progress)
            return ""
        found_name, parts = await self.find(name)
        inside = [path for path in listing.clashes if path.startswith(f"{found_name}/")]
        if inside:
            raise clash(inside[0])
        copies = [(part.number, part.entry.path) for part in parts]
        await self._save(copies, target, progress, may_link=may_link)
        return parts[0].entry.path

    async def _save(
        self,
        copies: Sequence[tuple[int, str]],
        target: Path,
        progress: Progress,
        *,
        may_link: bool = False,
    ) -> None:
        if len(copies) == 1:
            number, path = copies[0]
            await self.sources[number].save(target, path, progress, may_link=may_link)
            return
        # Inside the target: the merge renames, so both must be on one disk.
        scratch = await new_directory(".bacalhau-get-", target)
        try:
            places = [scratch / str(count) for count in range(len(copies))]
            for place, (number, path) in zip(places, copies, strict=True):
                await asyncio.to_thread(place.mkdir)
                await self.sources[number].save(place, path, progress, may_link=may_link)
            await asyncio.to_thread(merge_results, places, target)
        finally:
            await asyncio.to_thread(remove_tree, scratch)

    async def save_raw(self, target: Path, progress: Progress = no_progress) -> None:
        """Write what was published, unchanged, below ``raw``: an archive each, or a tree."""
        place = target / "raw"
        try:
            await asyncio.to_thread(place.mkdir, exist_ok=True)
            for source in self.sources:
                if await asyncio.to_thread((place / source.raw_name).exists):
                    continue  # The official client takes what is there for downloaded, too.
                await source.save_raw(place, progress)
        except OSError as error:
            raise io_failure(error, "write to", place, "Results") from error

    async def rest(self) -> None:
        """Close unused connections: a result may be read again, much later, or never."""
        for source in self.sources:
            await source.rest()

    async def close(self) -> None:
        """Close the readers."""
        for source in self.sources:
            await source.reader.close()

    def _followed(self, listing: Listing, part: Part) -> Part:
        """Follow links, inside the same result; what leads nowhere is returned as the link it is."""
        label, target_part = self.sources[part.number].label, part
        for _ in range(_MAX_LINKS):
            if target_part.entry.kind is not EntryKind.LINK:
                return target_part
            here = posixpath.dirname(target_part.entry.path)
            target = posixpath.normpath(posixpath.join(here, target_part.entry.target))
            following = listing.raw.get(f"{label}/{target}")
            if following is None:
                return part
            target_part = following
        return part

    def _missing(self, listing: Listing, name: str) -> NotFound:
        names = [
            path for path, parts in listing.merged.items() if parts[0].entry.kind is not EntryKind.DIRECTORY
        ]
        listed = ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")
        return NotFound(
            f"the results of {self._name} hold no {name}",
            hint=f"there is: {listed or 'nothing'}",
            component="Results",
        )


def clash(path: str) -> Conflict:
    """Return the error for a path that several executions wrote, in the official words."""
    return Conflict(
        f"cannot merge results as output already exists: {path}",
        hint="several executions wrote it: --raw (in Python: ls(raw=True)) gives each its own place; "
        "df() puts tables of all of them together",
        component="Results",
    )


def _merge(listings: Sequence[Sequence[ResultEntry]], labels: Sequence[str]) -> Listing:
    listing = Listing()
    for number, entries in enumerate(listings):
        for entry in entries:
            part = Part(number, entry)
            listing.raw[f"{labels[number]}/{entry.path}"] = part
            listing.merged.setdefault(entry.path, []).append(part)
    for path, parts in listing.merged.items():
        kinds = {part.entry.kind for part in parts}
        joined = path in APPENDED and kinds == {EntryKind.FILE}
        if len(parts) > 1 and not joined and kinds != {EntryKind.DIRECTORY}:
            listing.clashes.append(path)
    listing.merged = dict(sorted(listing.merged.items(), key=lambda item: item[0].split("/")))
    return listing
