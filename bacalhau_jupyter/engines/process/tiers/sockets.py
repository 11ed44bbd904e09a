"""Sockets in a job's inputs: opening the path of one reaches the program behind it, read-only or not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bacalhau_jupyter.engines.process.launch import Launch
from bacalhau_jupyter.engines.supervised.sockets import listening_below


def covers(launch: Launch) -> list[str]:
    """Return the places inside the job of sockets with a listener, to be covered.

    Where jobs may write, nothing is: another job could put a link on the way, and the cover would be made behind it.

    Parameters
    ----------
    launch
        The execution; copies of its inputs, which hold no sockets, have been made.
    """
    roots = [os.path.realpath(each.path) for each in launch.request.inputs]
    if not roots:
        return []
    listening = [path for path in listening_below(set(roots)) if _is_socket(path)]
    targets = [each.target.rstrip("/") for each in launch.request.inputs]
    covered = []
    for index, (root, target) in enumerate(zip(roots, targets, strict=True)):
        if launch.request.inputs[index].jobs_write or (launch.scratch / "copies" / str(index)).exists():
            continue
        inner = [other for other in targets if other.startswith(f"{target}/")]
        for path in listening:
            place = target + path[len(root) :]
            hides = any(place == other or place.startswith(f"{other}/") for other in inner)
            if path.startswith(f"{root.rstrip('/')}/") and not hides:
                covered.append(place)
    return covered


def uncovered(launch: Launch) -> bool:
    """Whether an input that jobs may write to holds a socket with a listener."""
    roots = {os.path.realpath(each.path) for each in launch.request.inputs if each.jobs_write}
    return bool(roots) and any(_is_socket(path) for path in listening_below(roots))


def _is_socket(path: str) -> bool:
    """Whether the socket is still there: the kernel shows the name that it had once."""
    try:
        return stat.S_ISSOCK(Path(path).lstat().st_mode)
    except OSError:
        return False
