"""What lies below a CID: listed, and every name and link of it checked.

A directory in IPFS is data of a stranger: its names may climb, its links may lead anywhere, and a few blocks can stand
for a tree of billions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from bacalhau_jupyter.models.errors import IOFailure, NotFound
from bacalhau_jupyter.transfer.core.links import is_plain_link
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry
from bacalhau_jupyter.transfer.ipfs.node import IpfsLink, IpfsNode, IpfsStat
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath

MAX_ENTRIES = 1_000_000

_MAX_PATH = 4096
_MAX_NAMES = 256 << 20
# Directories asked for at a time: the address of a request stays far below what a server takes.
_BATCH = 128
_KINDS = {"file": EntryKind.FILE, "directory": EntryKind.DIRECTORY, "link": EntryKind.LINK}


@dataclass(frozen=True)
class IpfsTree:
    """A checked tree. ``entries`` are sorted by path, parents first, without the root itself."""

    root: IpfsPath
    entries: tuple[ResultEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    @property
    def files(self) -> tuple[ResultEntry, ...]:
        """The files alone."""
        return tuple(entry for entry in self.entries if entry.kind is EntryKind.FILE)


async def list_tree(node: IpfsNode, root: IpfsPath, stat: IpfsStat) -> IpfsTree:
    """List a directory and all below it.

    Raises
    ------
    IOFailure
        A name climbs out or stands twice, a link leads outside, or there are too many entries. It is named.
    NotFound
        The root is not a directory.
    BacalhauError
        The node can't list it.
    """
    if stat.kind != "directory":
        raise NotFound(f"the IPFS content {root} is not a directory", component=node.component)
    entries: dict[str, ResultEntry] = {}
    names = 0
    # CID of a directory → every path it stands under.
    level: dict[str, list[str]] = {stat.cid: [""]}
    while level:
        below: dict[str, list[str]] = {}
        for batch in _batches(level):
            async for parent, link in node.links(batch):
                for place in level.get(parent, ()):
                    entry = _entry(root, place, link, node.component)
                    if entry.path in entries:
                        raise refused(root, f"it holds {entry.path!r} twice", node.component)
                    entries[entry.path] = entry
                    names += len(entry.path) + len(entry.target)
                    if len(entries) > MAX_ENTRIES or names > _MAX_NAMES:
                        raise refused(root, f"it holds more than {MAX_ENTRIES} entries", node.component)
                    if entry.kind is EntryKind.DIRECTORY:
                        below.setdefault(link.cid, []).append(entry.path)
        level = below
    return IpfsTree(root, tuple(entries[path] for path in sorted(entries, key=lambda path: path.split("/"))))


def _batches(level: Iterable[str]) -> list[list[str]]:
    cids = list(level)
    return [cids[start : start + _BATCH] for start in range(0, len(cids), _BATCH)]


def _entry(root: IpfsPath, parent: str, link: IpfsLink, component: str) -> ResultEntry:
    if link.name in ("", ".", "..") or "/" in link.name:
        raise refused(root, f"{parent or 'its root'} holds the name {link.name[:100]!r}", component)
    path = f"{parent}/{link.name}" if parent else link.name
    kind = _KINDS.get(link.kind)
    if kind is None:
        raise refused(root, f"{path!r} is neither a file, a directory nor a link", component)
    return checked_entry(root, path, kind, link.size, link.target, component)


def checked_entry(
    root: IpfsPath, path: str, kind: EntryKind, size: int, target: str, component: str
) -> ResultEntry:
    """Return what an entry of a tree is, once it can lead nowhere else.

    Raises
    ------
    IOFailure
        It climbs out, links outside, or no file can have its name. It is named.
    """
    parts = path.split("/")
    foreign = os.name == "nt" and ("\\" in path or ":" in path)
    if any(part in ("", ".", "..") for part in parts) or "\0" in path or foreign:
        raise refused(root, f"it holds the name {path[:100]!r}", component)
    if len(path) > _MAX_PATH:
        raise refused(root, f"{path[:40]!r}… is a path of {len(path)} characters", component)
    if kind is not EntryKind.LINK:
        return ResultEntry(path, size if kind is EntryKind.FILE else 0, kind)
    if not is_plain_link("/".join(parts[:-1]), target):
        raise refused(root, f"the link {path!r} points outside, to {target[:200]!r}", component)
    return ResultEntry(path, 0, kind, target)


def refused(root: IpfsPath, reason: str, component: str) -> IOFailure:
    """Return the error for content that breaks a rule."""
    return IOFailure(
        f"the IPFS content {root} is refused: {reason}",
        hint="nothing of it was kept; name an intact part of it, as CID/sub/path",
        component=component,
    )
