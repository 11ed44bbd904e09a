"""What `job get` makes of unpacked archives: one directory, as the official client lays it out."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.transfer.core.files import io_failure

APPENDED = ("stdout", "stderr", "exitCode")
"""Files at the top of every result; those of several results become one, in the order of the results."""

COMPONENT = "Results"


def merge_results(directories: Sequence[Path], target: Path) -> None:
    """Move the contents of unpacked results into one directory. Blocking: call it in a thread.

    `APPENDED` files are joined, directories of the same name become one, any other name that comes twice is an
    error, found before anything is moved.

    Parameters
    ----------
    directories
        Unpacked results, on the disk of ``target``; they are empty (or gone) afterwards.
    target
        Exists; what it holds already is never overwritten.

    Raises
    ------
    Conflict
        Two results hold the same path, or ``target`` has it already; the path is named.
    IOFailure
        Something can't be moved or written.
    """
    _find_clashes(directories, target)
    try:
        for directory in directories:
            for name, is_directory in _entries(directory):
                source, destination = directory / name, target / name
                if is_directory:
                    destination.mkdir(exist_ok=True)
                elif name in APPENDED and destination.exists():
                    _append(source, destination)
                else:
                    source.rename(destination)
            remove_tree(directory)
    except OSError as error:
        raise io_failure(error, "write the results to", target, COMPONENT) from error


def _find_clashes(directories: Sequence[Path], target: Path) -> None:
    is_directory_of: dict[str, bool] = {}
    for directory in directories:
        for name, is_directory in _entries(directory):
            there = target / name
            if name in is_directory_of:
                clash = not (is_directory and is_directory_of[name]) and name not in APPENDED
            else:
                clash = os.path.lexists(there) and (
                    there.is_symlink() or not (is_directory and there.is_dir())
                )
            # A link called stdout would have the next result's text appended to whatever it points to.
            odd = name in APPENDED and (is_directory or (directory / name).is_symlink())
            if clash or odd:
                raise Conflict(
                    f"cannot merge results as output already exists: {there}",
                    hint="try --raw to download raw results instead of merging them, or another directory",
                )
            is_directory_of[name] = is_directory


def _entries(directory: Path) -> Iterator[tuple[str, bool]]:
    """Yield names below a directory, parents first, sorted, and whether each is a directory; links are not followed."""
    for entry in walk(directory):
        if entry.path:
            yield entry.path, stat.S_ISDIR(entry.info.st_mode)


def _append(source: Path, destination: Path) -> None:
    with source.open("rb") as chunk, destination.open("ab") as whole:
        shutil.copyfileobj(chunk, whole, 1 << 20)
    source.unlink()
