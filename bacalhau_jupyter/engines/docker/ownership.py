"""Results belong to the node, whoever wrote them.

A container's processes run as root or as the image's user. So that each of them can write, a result directory
is open to all (inside the execution's private directory); so that a node that is not root can read and
remove what they wrote, a short-lived helper container hands those files over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.base import OutputMount
from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from bacalhau_jupyter.lib.trees import walk

OPEN_TO_ALL = 0o777
HELPER_TIMEOUT = 60


def open_outputs(outputs: Sequence[OutputMount]) -> None:
    """Make the result directories, writable for every user that a container may run as.

    Raises
    ------
    OSError
        A directory can't be made.
    """
    for output in outputs:
        output.path.mkdir(parents=True, exist_ok=True)
        output.path.chmod(OPEN_TO_ALL)


def unreadable(directory: Path) -> bool:
    """Whether something below ``directory`` can't be read by this process."""
    return _any(directory, lambda path, is_dir: not os.access(path, os.R_OK | (os.X_OK if is_dir else 0)))


def unremovable(directory: Path) -> bool:
    """Whether a directory below ``directory`` keeps this process from removing what is in it."""
    return _any(
        directory,
        lambda path, is_dir: (
            is_dir and path != str(directory) and not os.access(path, os.R_OK | os.W_OK | os.X_OK)
        ),
    )


def hand_over(
    daemon: Daemon, container: Mapping[str, Any], node_id: str, wanted: Callable[[Path], bool]
) -> None:
    """Make this process's user the owner of a container's results, where ``wanted`` says so.

    The helper runs ``chown`` from the container's own image: the only one that is sure to be here.

    Parameters
    ----------
    container
        What the engine's inspection of the container said.

    Raises
    ------
    EngineError
        The helper failed, because the image has no ``chown`` for example.
    """
    if os.geteuid() == 0:
        return
    mounts = [
        mount
        for mount in container.get("Mounts") or []
        if mount.get("Type") == "bind" and mount.get("RW") and wanted(Path(mount["Source"]))
    ]
    if not mounts:
        return
    rootless = any("rootless" in option for option in daemon.api.info().get("SecurityOptions") or [])
    # A rootless engine's root is this very user.
    owner = "0:0" if rootless else f"{os.geteuid()}:{os.getegid()}"
    targets = [f"/results/{number}" for number, _ in enumerate(mounts)]
    config = {
        "Image": container["Image"],
        "User": "0:0",
        "Entrypoint": ["chown"],
        "Cmd": ["-R", "-h", owner, *targets],
        "Labels": {LABEL_NODE: node_id},
        "HostConfig": {
            "NetworkMode": "none",
            "Mounts": [
                {"Type": "bind", "Source": mount["Source"], "Target": target}
                for mount, target in zip(mounts, targets, strict=True)
            ],
            **({} if rootless else {"UsernsMode": "host"}),
        },
    }
    helper = daemon.api.create_container_from_config(config)["Id"]
    try:
        daemon.api.start(helper)
        code = daemon.api.wait(helper, timeout=HELPER_TIMEOUT)["StatusCode"]
    finally:
        daemon.remove(helper)
    if code != 0:
        raise engine_error(f"the results can't be made readable: chown in the task's image ended with {code}")


def _any(directory: Path, test: Callable[[str, bool], bool]) -> bool:
    return any(test(path, is_dir) for path, is_dir in _walk(directory))


def _walk(directory: Path) -> Iterator[tuple[str, bool]]:
    # A directory that can't be read is yielded before the walk goes on without it.
    for entry in walk(directory, lambda _path, _error: None):
        if not stat.S_ISLNK(entry.info.st_mode):
            path = f"{directory}/{entry.path}" if entry.path else str(directory)
            yield path, stat.S_ISDIR(entry.info.st_mode)
