"""The Docker contexts of this machine: listed for those who choose one, and read when a host names one."""

from __future__ import annotations

import json
from pathlib import Path

from bacalhau_jupyter.models.records.hosts import DockerContext
from bacalhau_jupyter.models.text import is_readable

_MOST = 200
_SIZE_LIMIT = 1_000_000


def read_contexts(directory: Path) -> list[DockerContext]:
    """Return the contexts below Docker's own directory; one that can't be read is left out. Blocks."""
    try:
        files = sorted((directory / "contexts" / "meta").glob("*/meta.json"))[:_MOST]
    except OSError:
        return []
    contexts = [context for file in files if (context := _read(file)) is not None]
    return sorted(contexts, key=lambda context: context.name)


def _read(file: Path) -> DockerContext | None:
    try:
        if file.stat().st_size > _SIZE_LIMIT:
            return None
        plain = json.loads(file.read_bytes())
        name, url = str(plain["Name"]), str(plain["Endpoints"]["docker"]["Host"])
        description = str((plain.get("Metadata") or {}).get("Description") or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not is_readable(name + url):
        return None
    return DockerContext(name=name[:200], url=url[:500], description=description[:200])
