"""Results belong to the node, whichever user wrote them.

A container's processes run as root or as the image's user. So that each of them can write, a result directory
is open to all (inside the execution's private directory); so that a node that is not root can read and
remove what they wrote, a short-lived helper container hands those files over. An image without ``chown`` can't: then
the engine copies the results out of the container, with the engine's own user.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error
from bacalhau_jupyter.engines.docker.files.fetching import fetch_tree, own_tree
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from bacalhau_jupyter.engines.docker.sharing.owners import owner_labels
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.plugins.contract import OutputMount, Progress, no_progress

OPEN_TO_ALL = 0o777
HELPER_TIMEOUT_S = 60


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
    """Whether something below ``directory`` can't be read by this process, not even after a change of its mode."""
    return _any(
        directory,
        lambda path, info, is_dir: (
            info.st_uid != os.geteuid() and not os.access(path, os.R_OK | (os.X_OK if is_dir else 0))
        ),
    )


def unremovable(directory: Path) -> bool:
    """Whether a directory below ``directory`` keeps this process from removing what is in it."""
    return _any(
        directory,
        lambda path, info, is_dir: (
            is_dir
            and info.st_uid != os.geteuid()
            and path != str(directory)
            and not os.access(path, os.R_OK | os.W_OK | os.X_OK)
        ),
    )


def hand_over(
    daemon: Daemon, container: Mapping[str, Any], node_id: str, own: Path, is_result: Callable[[Path], bool]
) -> None:
    """Make this process's user the owner of a container's results, where ``is_result`` says so.

    Parameters
    ----------
    container
        What the engine's inspection of the container said.
    own
        The node's own directory: only what lies in there are results. Writable inputs belong to whom they belong.

    Raises
    ------
    EngineError
        The helper failed, because the image has no ``chown`` for example.
    """
    if os.geteuid() == 0:
        return
    foreign = [
        Path(mount["Source"])
        for mount in container.get("Mounts") or []
        if mount.get("Type") == "bind" and mount.get("RW") and own in Path(mount["Source"]).parents
    ]
    hand_over_directories(
        daemon, str(container.get("Image", "")), [path for path in foreign if is_result(path)], node_id
    )


def hand_over_directories(daemon: Daemon, image: str, directories: Sequence[Path], node_id: str) -> None:
    """Make this process's user the owner of directories and all that is in them.

    The helper runs ``chown`` from the task's own image: the only one that is sure to be here.

    Raises
    ------
    EngineError
        The helper failed, because the image has no ``chown`` for example.
    """
    if not directories:
        return
    with _helper(daemon, image, directories, node_id) as (helper, _targets, _owner):
        daemon.api.start(helper)
        code = daemon.api.wait(helper, timeout=HELPER_TIMEOUT_S)["StatusCode"]
    if code != 0:
        raise engine_error(f"the results can't be made readable: chown in the task's image ended with {code}")


def make_removable(daemon: Daemon, image: str, directory: Path, node_id: str) -> None:
    """Make this process's user the owner of the directories below one, without any program of the image.

    Raises
    ------
    BacalhauError
        The engine does not do it.
    """
    with _helper(daemon, image, [directory], node_id) as (helper, targets, owner):
        # It is made and never started.
        own_tree(daemon, helper, targets[0], owner)


@contextlib.contextmanager
def _helper(
    daemon: Daemon, image: str, directories: Sequence[Path], node_id: str
) -> Iterator[tuple[str, list[str], tuple[int, int]]]:
    """Make a container that gives directories to this user; yield it, where they are in it, and that user there."""
    rootless = any("rootless" in option for option in daemon.api.info().get("SecurityOptions") or [])
    # A rootless engine's root is this very user.
    owner = (0, 0) if rootless else (os.geteuid(), os.getegid())
    targets = [f"/results/{number}" for number, _ in enumerate(directories)]
    config = {
        "Image": image,
        "User": "0:0",
        "Entrypoint": ["chown"],
        "Cmd": ["-R", "-h", f"{owner[0]}:{owner[1]}", *targets],
        "Labels": {LABEL_NODE: node_id, **owner_labels()},
        "HostConfig": {
            "NetworkMode": "none",
            "Mounts": [
                {"Type": "bind", "Source": str(source), "Target": target}
                for source, target in zip(directories, targets, strict=True)
            ],
            **({} if rootless else {"UsernsMode": "host"}),
        },
    }
    helper = str(daemon.api.create_container_from_config(config)["Id"])
    try:
        yield helper, targets, owner
    finally:
        daemon.remove(helper)


def copy_out(
    daemon: Daemon,
    container: str,
    outputs: Sequence[OutputMount],
    stop: threading.Event,
    progress: Progress = no_progress,
) -> None:
    """Put copies that the engine makes in the place of all results; what can't be removed of them stays beside.

    Raises
    ------
    BacalhauError
        The engine can't read them, or the disk is full: the results are as they were.
    OSError
        Our own directories can't be changed.
    """
    if not outputs:
        return
    results = outputs[0].path.parent
    copies, beside = results.with_name("copied-results"), results.with_name("unreadable-results")
    for leftover in (copies, beside):
        remove_tree(leftover)
    copies.mkdir(mode=0o700)
    try:
        for output in outputs:
            part = copies / output.path.name
            part.mkdir(mode=0o700)
            fetch_tree(daemon, container, f"{output.target.rstrip('/')}/.", part, stop, progress)
        results.rename(beside)
        copies.rename(results)
    finally:
        for leftover in (copies, beside):
            remove_tree(leftover)


def _any(directory: Path, test: Callable[[str, os.stat_result, bool], bool]) -> bool:
    return any(test(path, info, stat.S_ISDIR(info.st_mode)) for path, info in _walk(directory))


def _walk(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    # A directory that can't be read is yielded before the walk goes on without it.
    for entry in walk(directory, lambda _path, _error: None):
        if not stat.S_ISLNK(entry.info.st_mode):
            path = f"{directory}/{entry.path}" if entry.path else str(directory)
            yield path, entry.info
