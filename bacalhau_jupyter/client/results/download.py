"""All results of a job, written into a directory of the person's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from bacalhau_jupyter.client.results.tree import ResultTree
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import TimedOut
from bacalhau_jupyter.models.records.progress import Progress


@contextlib.contextmanager
def fresh_directory(path: Path) -> Iterator[Path]:
    """Make a directory for results; remove it again when filling it fails."""
    existed = path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    except BaseException:
        if not existed:
            remove_tree(path)
        raise


async def download(
    tree: ResultTree,
    directory: Path,
    progress: Progress,
    *,
    path: str = "",
    raw: bool = False,
    timeout_s: float | None = None,
) -> None:
    """Write results into an existing directory, and close the tree.

    Parameters
    ----------
    path
        One file or subtree only, which keeps its path.
    raw
        Leave archives as they are, in ``raw/``, instead of unpacking and merging them.
    timeout_s
        Seconds that it may take.

    Raises
    ------
    TimedOut
        It took longer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            if raw:
                await tree.save_raw(directory, progress)
            else:
                await tree.save(directory, path, progress)
    except TimeoutError:
        raise TimedOut(
            f"the results did not arrive within {timeout_s:g} s",
            hint="give it more time: --download-timeout-secs 30m",
            component="Results",
        ) from None
    finally:
        await tree.close()
