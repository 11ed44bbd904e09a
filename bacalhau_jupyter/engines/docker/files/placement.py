"""Where a container finds its inputs and leaves its results: on our own disk, or in copies on the engine's."""

from __future__ import annotations

import enum
import posixpath
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.connecting import NoEngine
from bacalhau_jupyter.engines.docker.daemon import Daemon, explain
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.jobs.spec import Task
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import RunRequest

_LOCAL = ("localdirectory", "local")
_OCTAL = re.compile(r"\\([0-7]{3})")


class Placement(enum.Enum):
    """How files reach a container."""

    BIND = "bind"
    """The engine sees our directories, which are mounted."""
    ARCHIVE = "archive"
    """It does not: inputs are copied into volumes of the engine, results out of them."""


def find_placement(daemon: Daemon, directory: Path) -> Placement:
    """Find out whether the engine sees our directories: both of us must find the same fresh file.

    The engine looks for the source of a mount before it looks for the image, so asking it for a container
    of an image that can't exist shows where the source is, and never creates anything.
    (Seen on Docker Engine 20.10; the same order in Moby's current sources.)

    Raises
    ------
    NoEngine
        It can't be asked.
    """
    nonce = directory / f".bind-probe-{secrets.token_hex(16)}"
    try:
        nonce.touch(0o600)
    except OSError as error:
        raise NoEngine(f"the node can't write to its own directory {directory}: {error.strerror}") from None
    try:
        missing = _ask_bind(daemon, nonce.with_name(f"{nonce.name}-missing"))
        answer = _ask_bind(daemon, nonce)
    finally:
        nonce.unlink(missing_ok=True)
    # An engine that does not mind a missing source says nothing about what it sees; copies work in any case.
    if missing[0] == 404 or answer[0] == 400:
        return Placement.ARCHIVE
    if answer[0] == 404:
        return Placement.BIND
    raise NoEngine(
        f"{daemon.endpoint.engine} does not say whether it sees this node's directory "
        f"{directory}: {answer[1]}"
    )


def _ask_bind(daemon: Daemon, source: Path) -> tuple[int, str]:
    """Return the status and words of the engine's refusal."""
    from docker.errors import APIError

    mount = {"Type": "bind", "Source": str(source), "Target": "/probe", "ReadOnly": True}
    image = f"bacalhau-jupyter-probe:{secrets.token_hex(16)}"
    try:
        made = daemon.api.create_container_from_config({"Image": image, "HostConfig": {"Mounts": [mount]}})
    except APIError as error:
        return (error.response.status_code if error.response is not None else 0), explain(error)
    daemon.remove(made["Id"])
    return 201, "it made a container of an image that does not exist"


def not_shareable(task: Task) -> str:
    """Say why a task's inputs can't be copied to the engine instead of being mounted; empty when they can."""
    for item in task.input_sources:
        if item.source.is_type(*_LOCAL) and parse_truth(item.source.param("ReadWrite")):
            return (
                f"this node can't share {item.source.param('SourcePath')} for writing: its Docker Engine does not see "
                "this node's disk, so inputs are copied to it"
            )
    return ""


def bind_mounts(request: RunRequest, *, recursive_read_only: bool) -> list[dict[str, Any]]:
    """Return the container's mounts of our own directories.

    Parameters
    ----------
    recursive_read_only
        Whether "read-only" holds for what is mounted below a directory, too. Where it does not, those mounts
        are listed one by one, and what may be mounted later stays invisible.
    """
    mounts = []
    places = [] if recursive_read_only else _mount_points()
    for item in request.inputs:
        strict = item.read_only and not recursive_read_only
        mounts.append(bind(str(item.path), item.target, item.read_only, strict))
        # Where jobs may write, what leads to a place inside may be theirs: nothing there is mounted by its path.
        if strict and not item.jobs_write:
            mounts += [bind(source, target, True, True) for source, target in _below(item, places)]
    return mounts + [bind(str(item.path), item.target, False) for item in request.outputs]


def bind(source: str, target: str, read_only: bool, alone: bool = False) -> dict[str, Any]:
    """Describe a mount of ``source``; ``alone`` leaves out what is mounted below it."""
    # Mounts, not Binds: the engine refuses a missing source instead of making an empty directory there.
    mount: dict[str, Any] = {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}
    return mount | {"BindOptions": {"NonRecursive": True}} if alone else mount


def _below(item: InputMount, places: Sequence[str]) -> list[tuple[str, str]]:
    """Return source and target of what is mounted below an input, outer mounts first."""
    top = str(item.path)
    inside = sorted(place for place in places if place.startswith(top.rstrip("/") + "/"))
    return [(place, posixpath.join(item.target, posixpath.relpath(place, top))) for place in inside]


def _mount_points() -> list[str]:
    try:
        lines = read_text(Path("/proc/self/mountinfo"), errors="surrogateescape").splitlines()
    except OSError:
        return []
    points = (line.split(" ")[4] for line in lines)
    return list(dict.fromkeys(_OCTAL.sub(lambda code: chr(int(code[1], 8)), point) for point in points))
