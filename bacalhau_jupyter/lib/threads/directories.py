"""A new directory of an asynchronous caller: its own from the first instant, or gone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bacalhau_jupyter.lib.threads.whole import or_undone


async def new_directory(prefix: str, parent: Path | None = None) -> Path:
    """Make a directory of a new name; nothing stays when the caller is cancelled meanwhile.

    Parameters
    ----------
    parent
        Where; by default where this machine keeps temporary files.

    Raises
    ------
    OSError
        It can't be made.
    """
    return await or_undone(Path.rmdir, _made, prefix, parent)


def _made(prefix: str, parent: Path | None) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
