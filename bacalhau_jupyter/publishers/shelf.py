"""The directory of local results: what is in it, and what an earlier run left there. Functions here block."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from bacalhau_jupyter.lib.clock import boot_id
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX
from bacalhau_jupyter.publishers import removals
from bacalhau_jupyter.publishers.removals import Removal
from bacalhau_jupyter.publishers.retention import Kept
from bacalhau_jupyter.transfer.archive.held import read_layout
from bacalhau_jupyter.transfer.archive.keeping import is_synced, remove_result
from bacalhau_jupyter.transfer.archive.parts import PART

_log = logging.getLogger(__name__)
COMPONENT = "LocalPublisher"
_EXECUTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


def results_directory(data_dir: Path) -> Path:
    """Return where a node with this directory keeps published results."""
    return data_dir / "results" / "local-publisher"


def result_path(data_dir: Path, execution_id: str) -> Path:
    """Return where the archive of an execution is, or would be.

    Raises
    ------
    BadRequest
        The ID is not one: letters, digits and dashes.
    """
    if not _EXECUTION_ID.fullmatch(execution_id):
        raise BadRequest(f"{execution_id[:80]!r} is not an execution ID")
    return results_directory(data_dir) / f"{execution_id}{ARCHIVE_SUFFIX}"


def removal(data_dir: Path, execution_id: str) -> Removal | None:
    """Return how the result of an execution was removed; None when it was not, as far as is known."""
    return removals.find(results_directory(data_dir), execution_id)


def mark_read(path: Path, now_ns: int) -> None:
    """Note that a result is being read, so that it stays for a while; one that can't be marked is read anyway."""
    try:
        os.utime(path, ns=(now_ns, path.stat().st_mtime_ns))
    except OSError:
        _log.debug("%s can't be marked as read", path.name)


def open_shelf(directory: Path, now_ns: int) -> list[Path]:
    """Make the directory, remove what a crash left half written, and return results that are not on the disk yet.

    What was not on the disk when the machine went down may have lost bytes: it goes, with that reason.

    Raises
    ------
    OSError
        The directory can't be made or read.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    for part in directory.glob(f".*{PART}"):
        remove_tree(part)
    unsynced = []
    for result in directory.glob(f"*{ARCHIVE_SUFFIX}"):
        if not result.is_dir() or is_synced(result):
            continue
        try:
            same_boot = read_layout(result).boot == boot_id()
        except OSError:
            same_boot = False
        if same_boot:
            unsynced.append(result)
        else:
            lost = Kept(result.name.removesuffix(ARCHIVE_SUFFIX), size_of(result) or 0, 0)
            discard(directory, [lost], "the machine went down before they were on its disk", now_ns)
    return unsynced


def kept_in(directory: Path) -> list[Kept]:
    """Return all results, with their sizes and times."""
    kept = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(ARCHIVE_SUFFIX) and not entry.name.startswith("."):
                about = entry.stat(follow_symlinks=False)
                name = entry.name.removesuffix(ARCHIVE_SUFFIX)
                size = (size_of(Path(entry)) or 0) if entry.is_dir(follow_symlinks=False) else about.st_size
                kept.append(Kept(name, size, about.st_mtime_ns, about.st_atime_ns))
    return kept


def size_of(result: Path) -> int | None:
    """Return the bytes that a result takes; None when there is none."""
    try:
        return read_layout(result).taken if result.is_dir() else result.stat().st_size
    except FileNotFoundError:
        return None
    except OSError:
        return 0  # nothing that can be read


def discard(directory: Path, chosen: list[Kept], reason: str, now_ns: int) -> None:
    """Remove results, and remember why.

    Raises
    ------
    OSError
        That can't be noted, or a result can't be removed.
    """
    # Recorded first: a result that vanishes without a record is worse than one that is reported too early.
    if chosen:
        gone = [Removal(each.execution_id, rfc3339(now_ns), reason, each.size) for each in chosen]
        removals.note(directory, gone)
    for each in chosen:
        _log.info("removing the results of execution %s: %s", each.execution_id, reason)
        remove_result(directory / f"{each.execution_id}{ARCHIVE_SUFFIX}")
