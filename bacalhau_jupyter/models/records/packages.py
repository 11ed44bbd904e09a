"""Sets of Python packages that a node keeps for its jobs, and the names of them in specs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from bacalhau_jupyter.models.codec import Wire, always

FEATURE = "python-packages"
"""With this feature a node keeps sets of packages, and brings inputs of type `SOURCE`."""

PATH = "/api/v1/agent/packages"

SOURCE = "pythonPackages"
"""Source type of ours: ``{"Set": hash}``, a set that the node's own user registered. Official nodes refuse it."""

_HASH = re.compile(r"[0-9a-f]{64}")
_REQUEST = re.compile(r"[0-9a-f]{1,64}")


class FindPackages(Wire):
    """Asks for the set that a request was resolved to, or for a place to make one.

    Attributes
    ----------
    request
        A hash of what was asked for and of the Python that it is for.
    """

    request: str = always("")


class KeepPackages(Wire):
    """Says what lies in a draft.

    Attributes
    ----------
    request
        As in `FindPackages`.
    target
        The Python that the packages are for, in words.
    locked
        A line for each distribution: ``name==version`` and the hashes of its files.
    """

    request: str = always("")
    target: str = always("")
    locked: list[str] = always([])


class PackagesState(Wire):
    """A set that is there, or a draft of one.

    Attributes
    ----------
    set
        Name of the set in specs; empty while there is only a draft.
    bytes
        What it takes on the disk.
    distributions
        ``name==version`` of each.
    draft, directory, cache
        The draft's name, the directory ``site`` in which to make it, and a directory for downloads that are shared.
    room
        Bytes that the draft may take.
    """

    set: str = ""
    bytes: int = 0
    distributions: list[str] = []
    draft: str = ""
    directory: str = ""
    cache: str = ""
    room: int = 0


def is_set(name: object) -> bool:
    """Whether a text can be the name of a set."""
    return isinstance(name, str) and _HASH.fullmatch(name) is not None


def is_request(text: str) -> bool:
    """Whether a text can be the hash of a request."""
    return _REQUEST.fullmatch(text) is not None


def set_hash(target: str, locked: Iterable[str], files: Iterable[tuple[str, int, str]]) -> str:
    """Return the SHA-256 (hex) by which a spec names a set.

    Parameters
    ----------
    target, locked
        As in `KeepPackages`.
    files
        Path, size and SHA-256 of every file.
    """
    lock = json.dumps([target, sorted(locked), sorted(files)], ensure_ascii=True)
    return hashlib.sha256(lock.encode("utf-8", "surrogateescape")).hexdigest()


def distributions_of(locked: Iterable[str]) -> list[str]:
    """Return ``name==version`` of each line of a lock."""
    return [line.split(" ", 1)[0] for line in locked if line.strip()]
