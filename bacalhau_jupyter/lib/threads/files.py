"""A file that an asynchronous caller reads: opened in a thread, and never left open."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

from bacalhau_jupyter.lib.threads.whole import or_undone


async def opened(path: Path) -> FileIO:
    """Open a file for reading, without a buffer; it is closed again when the caller is cancelled meanwhile.

    Raises
    ------
    OSError
        It can't be opened.
    """
    return await or_undone(FileIO.close, _open, path)


def _open(path: Path) -> FileIO:
    return path.open("rb", buffering=0)
