"""Where inputs and results appear in an image: at their targets, as a process in the image would understand these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bacalhau_jupyter.engines.daemonless.tree import NotFound, Tree
from bacalhau_jupyter.engines.daemonless.upper import Upper
from bacalhau_jupyter.engines.supervised.mounts import Mount, NotPlaced, lay_out
from bacalhau_jupyter.engines.supervised.supervisor.plan import ImageRoot
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.plugins.contract import InputMount, OutputMount
from bacalhau_jupyter.plugins.engine import RunRequest

COVERED = ("/dev", "/proc", "/sys")
"""Ours, whatever the image has there."""
_OPEN_TO_ALL = 0o777


@dataclass(frozen=True)
class Placed:
    """The mounts of one execution: what it reads, with the places that this really has, and all mounts in order."""

    inputs: Sequence[InputMount]
    mounts: Sequence[Mount]

    def make(self, upper: Upper, tree: Tree, start: str) -> None:
        """Make the places in the task's layer, and the directory where the task starts.

        Raises
        ------
        NotPlaced
            The image has something else there.
        """
        for path in COVERED:
            upper.directory(tree.find(path))
        for mount in self.mounts:
            if any(within(mount.target, other.target) for other in self.mounts if other is not mount):
                continue
            try:
                spot = tree.find(mount.target)
                upper.directory(spot) if _is_directory(mount) else upper.file(spot)
            except NotFound as reason:
                raise NotPlaced(f"{mount.target}, in this image: {reason}") from None
        try:
            spot = tree.find(start)
            if not any(
                within(spot.path, each) for each in (*COVERED, *(each.target for each in self.mounts))
            ):
                upper.directory(spot)
        except NotFound:
            raise NotPlaced(f"cannot mkdir: {start} is not a directory") from None

    def binds(self, image: ImageRoot) -> list[str]:
        """Return bubblewrap's options for the mounts; what they show is added to ``image``."""
        arguments: list[str] = []
        empty: list[str] = []
        for mount in self.mounts:
            if mount.link:
                arguments += ["--symlink", mount.link, mount.target]
            elif mount.source is None or mount.checked is None:
                # A directory whose entries are mounted one by one.
                arguments += ["--perms", "0755", "--tmpfs", mount.target]
                empty.append(mount.target)
            else:
                bind = "--bind" if mount.writable else "--ro-bind"
                arguments += [bind, f"{image['view']}/{len(image['mounts'])}", mount.target]
                image["mounts"].append((str(mount.source), *mount.checked, mount.writable))
        return arguments + [option for target in empty for option in ("--remount-ro", target)]


def place(request: RunRequest, tree: Tree, further: Sequence[Mount] = ()) -> Placed:
    """Find the places of an execution's inputs, which have been checked, and results, whose directories are made.

    ``further`` are the mounts for the job's devices; two that mean one file at one place are one.

    Raises
    ------
    NotPlaced, Changed, OSError
        As for `mounts.lay_out`; a target leads to a place that can't have it.
    """
    inputs = [replace(each, target=_place(each.target, tree)) for each in request.inputs]
    mounts = [Mount(each.target, each.path, not each.read_only, each.checked) for each in inputs]
    mounts += [_output(each, tree) for each in request.outputs]
    driver = list(dict.fromkeys(replace(each, target=_place(each.target, tree)) for each in further))
    mounts += driver
    targets = [each.target for each in mounts]
    if twice := next((each for each in targets if targets.count(each) > 1), ""):
        raise NotPlaced(f"two of them have the same place, {twice}")
    # By their targets they were told apart before (`bids`); links of the image may bring them together.
    for root in (each.target for each in inputs if not each.read_only):
        if inner := next((each for each in targets if each != root and within(each, root)), ""):
            raise NotPlaced(f"{inner} lies inside the writable input {root}")
    # Programs of the driver can be a job's command, as those of inputs can.
    inputs += [InputMount(each.source, each.target) for each in driver if each.source is not None]
    return Placed(inputs, lay_out(mounts))


def within(path: str, root: str) -> bool:
    """Whether an absolute path is another one or lies below it."""
    return path == root or path.startswith(f"{root.rstrip('/')}/")


def _place(target: str, tree: Tree) -> str:
    try:
        path = tree.find(target).path
    except NotFound as reason:
        raise NotPlaced(f"{target}, in this image: {reason}") from None
    if path == "/" or any(within(path, each) for each in COVERED):
        raise NotPlaced(f"{target} leads to {path}, where nothing can be mounted")
    return path


def _output(output: OutputMount, tree: Tree) -> Mount:
    output.path.mkdir(parents=True, exist_ok=True)
    # Whoever the image's user is; the directory above is closed to everybody.
    output.path.chmod(_OPEN_TO_ALL)
    facts = output.path.stat()
    source = output.path.resolve()
    return Mount(_place(output.target, tree), source, writable=True, checked=(facts.st_dev, facts.st_ino))


def _is_directory(mount: Mount) -> bool:
    if mount.source is None or mount.checked is None:
        return True
    opened = beneath.open_checked(mount.source, mount.checked)
    try:
        return beneath.is_directory(opened)
    finally:
        os.close(opened)
