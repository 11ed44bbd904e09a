"""What a job with its own user leaves in this host's ``/dev/shm``, where the tier has no private one."""

from __future__ import annotations

import os

PLACE = "/dev/shm"


def usable() -> bool:
    """Whether another user than root can make files there, as on a usual machine."""
    try:
        mode = os.stat(PLACE).st_mode  # noqa: PTH116
    except OSError:
        return False
    return mode & 0o1003 == 0o1003


def forget(user: int) -> None:
    """Remove the user's semaphores and shared memory: its uid goes to another job later."""
    try:
        names = os.listdir(PLACE)  # noqa: PTH208 - pathlib is too slow to import in the supervisor
    except OSError:
        return
    for name in names:
        path = f"{PLACE}/{name}"
        try:
            if os.lstat(path).st_uid == user:
                os.unlink(path)  # noqa: PTH108
        except OSError:
            continue  # gone meanwhile, or not ours to remove
