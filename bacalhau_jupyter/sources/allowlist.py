"""``Compute.AllowListedLocalPaths``: which paths of this host jobs may see.

An entry is an absolute path or glob with an optional ``:ro`` (default) or ``:rw``. In globs ``*``, ``?``,
``[…]`` and ``{a,b}`` stay within one level, and ``/**`` means everything below and the directory itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bacalhau_jupyter.models.errors import ConfigurationError

KEY = "Compute.AllowListedLocalPaths"

COMPONENT = "LocalSource"
_MAX_LINKS = 40
_GLOB = re.compile(r"[*?\[{\\]")


@dataclass(frozen=True)
class AllowedPath:
    """One entry: the glob as written, whether jobs may write there, and its fixed part without links once resolved."""

    glob: str
    writable: bool
    real: str = ""

    def matches(self, path: Path) -> bool:
        """Whether a resolved path is meant.

        Links in the entry's fixed part are followed first, so that an entry under a linked directory means what
        its owner thinks it means.
        """
        return self._matches(self.real or os.path.realpath(split_glob(self.glob)[0]), path)

    def matches_as_written(self, path: Path) -> bool:
        """Whether a path is meant without following any link of the entry."""
        return self._matches(split_glob(self.glob)[0], path)

    def _matches(self, fixed: str, path: Path) -> bool:
        rest = split_glob(self.glob)[1]
        pattern = f"{fixed.rstrip('/')}/{rest}" if rest else fixed
        return re.fullmatch(_regex(pattern, len(pattern) - len(rest)), str(path), re.DOTALL) is not None


def job_writable(path: Path, allowed: Sequence[AllowedPath]) -> Path | None:
    """Return the topmost directory, ``path`` or above it, that jobs may mount for writing; None without one."""
    writable = [entry for entry in allowed if entry.writable]
    for each in (*reversed(path.parents), path):
        if any(entry.matches(each) or entry.matches_as_written(each) for entry in writable):
            return each
    return None


def parse_allow_list(value: object) -> list[AllowedPath]:
    """Read the configured entries: a list of texts, one comma-separated text, or None.

    Entries that a job may have bent (`_real_fixed_part`) are left out: they mean nothing.

    Raises
    ------
    ConfigurationError
        An entry is not an absolute path, or its glob is broken.
    """
    entries: Iterable[object]
    if value is None:
        entries = ()
    elif isinstance(value, str):
        entries = value.split(",")
    elif isinstance(value, Iterable):
        entries = value
    else:
        raise ConfigurationError(f"{KEY} is not a list of paths: {value!r}")
    allowed = [_parse_entry(str(entry).strip()) for entry in entries if str(entry).strip()]
    resolved = [(entry, _real_fixed_part(entry, allowed)) for entry in allowed]
    return [replace(entry, real=real) for entry, real in resolved if real is not None]


def _real_fixed_part(entry: AllowedPath, allowed: Sequence[AllowedPath]) -> str | None:
    """Follow the links in an entry's fixed part; None when one of them lies where a job may have put it.

    With ``/data:rw`` and ``/data/sub/**``, a job could otherwise put a link to any place at ``/data/sub``, and the
    second entry would allow that place.
    """
    here, pending, followed = Path("/"), list(reversed(split_glob(entry.glob)[0].split("/"))), 0
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = here.parent
            continue
        try:
            target = (here / name).readlink()
        except OSError:
            here = here / name
            continue
        followed += 1
        if followed > _MAX_LINKS or job_writable(here, allowed) is not None:
            return None
        if target.is_absolute():
            here = Path("/")
        pending += reversed(str(target).split("/"))
    return str(here)


def _parse_entry(text: str) -> AllowedPath:
    path, colon, mode = text.rpartition(":")
    if not colon or mode.lower() not in ("ro", "rw"):
        path, mode = text, "ro"
    if not path.startswith("/"):
        raise ConfigurationError(
            f"{KEY}: the entry {text!r} is not an absolute path",
            hint="write it like /data/**:ro or /scratch:rw",
        )
    if ".." in path.split("/"):
        raise ConfigurationError(f"{KEY}: the entry {text!r} has a `..` in it")
    glob = re.sub(r"/{2,}", "/", path)
    glob = glob.rstrip("/") or "/"
    try:
        re.compile(_regex(glob, 0))
    except re.error as error:
        raise ConfigurationError(f"{KEY}: the entry {text!r} is a broken glob: {error}") from error
    return AllowedPath(glob, mode.lower() == "rw")


def split_glob(glob: str) -> tuple[str, str]:
    """Split off the leading components that hold no glob characters."""
    parts = glob.split("/")
    plain = next((index for index, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    return "/".join(parts[:plain]) or "/", "/".join(parts[plain:])


def _regex(glob: str, literal: int) -> str:
    """Translate a glob whose first ``literal`` characters mean themselves."""
    regex = [re.escape(glob[:literal])]
    position, depth = literal, 0
    while position < len(glob):
        rest = glob[position:]
        if re.match(r"/\*\*(?=/|$)", rest):
            regex.append("(?:/[^/]+)*")
            position += 3
            continue
        if position == literal and re.match(r"\*\*(?=/|$)", rest):
            # The slash before is part of the fixed text: the directory itself is meant, too.
            regex[0] = re.escape(glob[:literal].rstrip("/"))
            regex.append("(?:/[^/]+)*")
            position += 2
            continue
        piece, length, depth = _translate(rest, depth)
        regex.append(piece)
        position += length
    return "".join(regex)


def _translate(rest: str, depth: int) -> tuple[str, int, int]:
    """Return the regex for the start of a glob, how much of it that was, and how deep in braces we are."""
    char = rest[0]
    bracket = re.match(r"\[([!^]?)([^\]/]+)\]", rest)
    if char == "*":
        return "[^/]*", len(rest) - len(rest.lstrip("*")), depth
    if char == "?":
        return "[^/]", 1, depth
    if char == "\\" and len(rest) > 1:
        return re.escape(rest[1]), 2, depth
    if bracket is not None:
        negated = "^/" if bracket[1] else ""
        members = re.sub(r"([\\\[^&~|])", r"\\\1", bracket[2])
        return f"[{negated}{members}]", bracket.end(), depth
    if char == "{":
        return "(?:", 1, depth + 1
    if char == "}" and depth:
        return ")", 1, depth - 1
    if char == "," and depth:
        return "|", 1, depth
    return re.escape(char), 1, depth
