"""Which part of the cgroup v2 tree is this node's, decided from what the kernel says."""

from __future__ import annotations

import re
from dataclasses import dataclass

OTHERS = "bacalhau-others"
"""The group below a delegated one that takes the processes which were in it: a group with limits for its children
has none of its own."""
JOB = "bacalhau-job-"
CONTROLLERS = ("cpu", "memory", "pids")


class NotDelegated(Exception):
    """Jobs get no groups here; the text is one clause that says why."""


@dataclass(frozen=True)
class Group:
    """The group that holds, or is to hold, the groups of jobs.

    Attributes
    ----------
    directory
        Where it is mounted.
    is_top
        Whether it is the topmost group that this process can see: of a container, or of the machine.
    is_entered
        Whether an earlier node has moved the processes into `OTHERS` already.
    """

    directory: str
    is_top: bool
    is_entered: bool


@dataclass(frozen=True)
class Facts:
    """What is known of a group.

    Attributes
    ----------
    controllers
        The controllers that it has.
    is_writable
        Whether this user may make groups in it and move processes.
    is_marked
        Whether systemd has marked it as delegated (``Delegate=``).
    strangers
        Processes in it that are not this node's own.
    """

    controllers: frozenset[str]
    is_writable: bool
    is_marked: bool
    strangers: int


def own_group(cgroup: str, mountinfo: str) -> Group:
    """Return the group that jobs' groups would be made in.

    Parameters
    ----------
    cgroup
        The text of ``/proc/self/cgroup``.
    mountinfo
        The text of ``/proc/self/mountinfo``.

    Raises
    ------
    NotDelegated
        There is no cgroup v2 tree, or this process's place in it can't be reached.
    """
    path = next((line[3:] for line in cgroup.splitlines() if line.startswith("0::/")), "")
    mounts = [mount for line in mountinfo.splitlines() if (mount := _mount(line))]
    if not path or not mounts:
        raise NotDelegated("cgroup v2 is not mounted")
    parts = path.rstrip("/").rpartition("/")
    is_entered = parts[2] == OTHERS
    if is_entered:
        path = parts[0] or "/"
    for top, point in mounts:
        below = path if top == "/" else path.removeprefix(top)
        if (top == "/" or path == top or path.startswith(f"{top}/")) and ".." not in path.split("/"):
            return Group(f"{point.rstrip('/')}/{below.strip('/')}".rstrip("/"), path == "/", is_entered)
    raise NotDelegated(f"the control group {path} of this node is outside of what is mounted")


def _mount(line: str) -> tuple[str, str] | None:
    """Return the root and the mount point of a line about cgroup v2."""
    about, separator, kind = line.partition(" - ")
    fields = about.split(" ")
    if not separator or len(fields) < 6 or not kind.startswith("cgroup2 "):
        return None
    return _plain(fields[3]), _plain(fields[4])


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def objection(group: Group, facts: Facts, *, is_root: bool) -> str:
    """Say why jobs can't get groups below ``group``; empty when they can.

    root may write everywhere, so it takes a mark, or a tree of its own; processes of others are moved only where the
    whole group was handed over.
    """
    if not facts.controllers.intersection(CONTROLLERS):
        return f"the control group {group.directory} has none of the controllers {', '.join(CONTROLLERS)}"
    if not facts.is_writable:
        return f"the control group {group.directory} is not delegated to this node's user"
    if group.is_top or group.is_entered or facts.is_marked:
        return ""
    if is_root:
        return f"the control group {group.directory} is not marked as delegated (systemd: Delegate=yes)"
    if facts.strangers:
        return f"other programs run in the control group {group.directory}, which is not marked as delegated"
    return ""
