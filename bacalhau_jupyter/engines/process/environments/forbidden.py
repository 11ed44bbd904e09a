"""Places that are never shown to a job, also when the owner registers them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from bacalhau_jupyter.engines.supervised import host

_KERNEL_AND_SERVICES = ("/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/var/run")
"""The kernel's own file systems, and where services keep their sockets and settings."""

_JOB_SCRATCH = "bacalhau-job-"


def _no_path(path: Path) -> bool:
    return False


class Forbidden:
    """Says why a path can't be shown.

    Parameters
    ----------
    hidden
        Real paths that are never shown: the node's directories, keys, Jupyter's runtime directory.
    writable
        Whether jobs may write at a real path (``Compute.AllowListedLocalPaths`` with ``:rw``).
    """

    def __init__(self, hidden: Iterable[Path], writable: Callable[[Path], bool] = _no_path) -> None:
        self._hidden = tuple(hidden)
        self._writable = writable

    def spelling(self, path: Path) -> str:
        """Say why not even the way to a path may be taken (``/proc/self/root`` leads everywhere), or ""."""
        for root in _KERNEL_AND_SERVICES:
            if within(path, Path(root)):
                return f"nothing below {root} is ever shown"
        return ""

    def place(self, real: Path, info: os.stat_result) -> str:
        """Say why a resolved path may not be shown, or ""."""
        if said := self.spelling(real):
            return said
        if host.is_of_the_system(real) or any(real == Path(os.path.realpath(home)) for home in host.homes()):
            return "it holds more than a Python environment"
        if not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
            return "it is neither a directory nor a file"
        if inside := next((secret for secret in self._hidden if within(real, secret)), None):
            return f"it lies inside {inside}, which is never shown"
        if any(part.startswith(_JOB_SCRATCH) for part in real.parts):
            return "it belongs to a job"
        if _is_of_the_kernel(info.st_dev):
            return "it lies in a file system of the kernel's"
        if writable := next((path for path in (real, *real.parents) if self._writable(path)), None):
            return f"jobs may write to {writable} (Compute.AllowListedLocalPaths)"
        return ""


def within(path: Path, root: Path) -> bool:
    """Whether ``path`` is ``root`` or lies below it, judged by the text alone."""
    return path == root or root in path.parents


def _is_of_the_kernel(device: int) -> bool:
    """Whether a device is that of ``/proc``, ``/sys``, ``/dev`` or ``/run``, wherever it is mounted."""
    root = os.stat("/").st_dev  # noqa: PTH116
    for place in ("/proc", "/sys", "/dev", "/run"):
        try:
            theirs = os.stat(place).st_dev  # noqa: PTH116
        except OSError:
            continue
        if device == theirs != root:
            return True
    return False
