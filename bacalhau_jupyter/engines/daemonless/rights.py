"""Which right of this machine or container is missing where the trial failed, and who can give it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.users import are_there
from bacalhau_jupyter.lib.text import read_text

_USERNS = ("unshare: ", "user namespaces can't be made")
_OVERLAY = "mount overlay: "
_IDMAP = "mount_setattr: "
_OWNERS = ("uid_map", "gid_map", _IDMAP, "Invalid argument")
_PIVOT = "pivot_root: "
_BY_FILTER = (
    "this container's filter of system calls refuses that (Docker: --security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined; Kubernetes: seccompProfile and procMount)"
)
_PROC = "Can't mount proc"
_REFUSED = "not permitted"
_ADMIN = 1 << 21
_FILTERED = "2"
"""``Seccomp`` in ``/proc/self/status`` where a filter of system calls is loaded."""


@dataclass(frozen=True)
class Facts:
    """What the kernel says of this process's rights; empty texts where it says nothing.

    Attributes
    ----------
    namespaces
        ``user.max_user_namespaces``.
    unprivileged
        ``kernel.unprivileged_userns_clone`` (Debian).
    apparmor
        ``kernel.apparmor_restrict_unprivileged_userns`` (Ubuntu).
    seccomp
        The mode of this process: ``2`` with a filter.
    file_system
        The type of the file system that holds jobs' files.
    is_bare_root
        Whether this is root without ``CAP_SYS_ADMIN``, as in most containers.
    lacks_users
        Whether this is root of a user namespace without the users that jobs in images get.
    """

    namespaces: str = ""
    unprivileged: str = ""
    apparmor: str = ""
    seccomp: str = ""
    file_system: str = ""
    is_bare_root: bool = False
    lacks_users: bool = False


def facts(place: Path, proc: Path = Path("/proc")) -> Facts:
    """Return the facts of this process, and of a directory for jobs' files."""
    is_root = host.is_root()
    status = dict(line.split(":\t", 1) for line in _read(proc / "self/status").splitlines() if ":\t" in line)
    settings = proc / "sys/kernel"
    return Facts(
        namespaces=_read(proc / "sys/user/max_user_namespaces").strip(),
        unprivileged=_read(settings / "unprivileged_userns_clone").strip(),
        apparmor=_read(settings / "apparmor_restrict_unprivileged_userns").strip(),
        seccomp=status.get("Seccomp", "").strip(),
        file_system=_file_system(place, _read(proc / "self/mounts")),
        is_bare_root=is_root and not _rights(status.get("CapEff", "")) & _ADMIN,
        lacks_users=is_root and not are_there(host.FIRST_IMAGE_ID, host.JOB_UIDS * host.IMAGE_IDS),
    )


def missing(problem: str, about: Facts) -> str:
    """Say which right is missing; empty where the problem of the trial does not tell.

    Parameters
    ----------
    problem
        What the trial said.
    about
        The facts of this process.
    """
    is_admin_missing = about.is_bare_root and _USERNS[1] not in problem
    if any(mark in problem for mark in _USERNS) and not is_admin_missing:
        return f"an image needs user namespaces, and {_why_none(about)}"
    if _PIVOT in problem and about.seccomp == _FILTERED:
        return f"an image needs a root of its own, and {_BY_FILTER}"
    if about.is_bare_root and _REFUSED in problem:
        return (
            "root may not mount here (no CAP_SYS_ADMIN), and a node of root has to for images: run the node as an "
            "ordinary user, who gets this right in a user namespace"
        )
    if about.lacks_users and any(mark in problem for mark in _OWNERS):
        return (
            "this node runs as root of a user namespace that lacks the users of jobs in images "
            f"({host.FIRST_IMAGE_ID} and up): run the node as an ordinary user of that namespace"
        )
    if _PROC in problem:
        return (
            "a job in an image needs a /proc of its own, and parts of this container's /proc are covered (Docker: "
            "--security-opt systempaths=unconfined, Kubernetes: procMount: Unmasked)"
        )
    if about.apparmor == "1" and "mount" in problem:
        return (
            "AppArmor takes the rights from user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1: "
            "an administrator can set it to 0)"
        )
    if _OVERLAY in problem:
        kind = f" ({about.file_system})" if about.file_system else ""
        return (
            f"no overlay can be mounted over the file system of the compute directory{kind}: put the node's "
            "DataDir on ext4, xfs, btrfs or tmpfs (in a container: on a volume)"
        )
    if _IDMAP in problem:
        return (
            "a node of root needs mounts with other owners (Linux 5.19, and a file system that can show them)"
        )
    return ""


def _why_none(about: Facts) -> str:
    if about.namespaces == "0":
        return "they are off here (user.max_user_namespaces is 0: an administrator can raise it)"
    if about.unprivileged == "0":
        return "ordinary users may not make them (kernel.unprivileged_userns_clone is 0: an administrator can set 1)"
    if about.seccomp == _FILTERED:
        return _BY_FILTER
    return "the kernel refuses to make one (in a chroot, or by a security module)"


def _rights(text: str) -> int:
    try:
        return int(text.strip(), 16)
    except ValueError:
        return _ADMIN


def _file_system(place: Path, mounts: str) -> str:
    """Return the type of the innermost mount that holds a directory, from ``/proc/self/mounts``."""
    innermost, kind = "", ""
    real = str(place.resolve())
    for line in mounts.splitlines():
        fields = line.split(" ")
        # Blanks in names are written as \040; such a mount is passed over.
        if len(fields) < 3:
            continue
        root = fields[1].rstrip("/")
        if (real == root or real.startswith(f"{root}/")) and len(root) >= len(innermost):
            innermost, kind = root, fields[2]
    return kind


def _read(path: Path) -> str:
    try:
        return read_text(path, errors="replace")
    except OSError:
        return ""
