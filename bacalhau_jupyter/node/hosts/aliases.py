"""The hosts that a person's ssh configuration names, for those who choose one; read, never changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bacalhau_jupyter.engines.docker.link.ssh.diagnosis import at_home
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.records.hosts import SshAlias
from bacalhau_jupyter.models.text import is_readable

_LINE = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.+?)\s*")
_MOST = 200
_DEPTH = 4
_SIZE_LIMIT = 1_000_000


def read_aliases(config: Path) -> list[SshAlias]:
    """Return the names without wildcards, and where they lead as far as the configuration says so; blocks."""
    places: dict[str, dict[str, str]] = {}
    names: list[str] = []
    for key, value in _lines(config, config.parent, _DEPTH):
        if key == "host":
            names = [name for name in value.split() if not set(name) & set('*?!"') and is_readable(name)]
            for name in names[: max(0, _MOST - len(places))]:
                places.setdefault(name, {})
        elif key == "match":
            names = []
        elif key in ("hostname", "user"):
            for name in names:
                if name in places:
                    # The first one holds.
                    places[name].setdefault(key, value)
    return [SshAlias(name=name, shown=_shown(there)) for name, there in places.items()]


def _lines(config: Path, directory: Path, depth: int) -> Iterator[tuple[str, str]]:
    try:
        if config.stat().st_size > _SIZE_LIMIT:
            return
        text = read_text(config, errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        key, value = match[1].lower(), match[2]
        if key != "include":
            yield key, value
        elif depth:
            for pattern in value.split():
                for path in _included(pattern, directory):
                    yield from _lines(path, directory, depth - 1)


def _included(pattern: str, directory: Path) -> list[Path]:
    try:
        path = at_home(pattern)
        base = Path("/") if path.is_absolute() else directory
        return sorted(base.glob(str(path).lstrip("/")))[:_MOST]
    except (OSError, ValueError, NotImplementedError):
        return []


def _shown(place: dict[str, str]) -> str:
    user, machine = place.get("user", ""), place.get("hostname", "")
    text = f"{user}@{machine}" if user and machine else machine or user
    return text[:200] if is_readable(text) else ""
