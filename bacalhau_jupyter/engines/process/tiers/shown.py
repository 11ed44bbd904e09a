"""What bubblewrap shows of this host: binds, and covers over what is private inside them."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.engines.process.tiers import accounts
from bacalhau_jupyter.engines.process.visible_paths import View
from bacalhau_jupyter.engines.supervised import host

FIRST_PINNED = 6
"""The child's first descriptor of something shown: after the options, the filter and the status pipe."""


def options(view: View) -> list[str]:
    """Return bubblewrap's options for what a job reads of this host."""
    shown = [path for path in view.outermost() if str(path) not in (accounts.PASSWD, accounts.GROUP)]
    # Spelled out, because bubblewrap makes a file's missing parents for its own user only.
    parents = {parent for path in shown for parent in path.parents if parent != Path("/")}
    arguments = [
        option
        for parent in sorted(parents)
        if not any(root == parent or root in parent.parents for root in shown)
        for option in ("--dir", str(parent))
    ]
    pinned = {path: FIRST_PINNED + index for index, (path, _) in enumerate(view.pinned())}
    for path in shown:
        if path in pinned:
            arguments += ["--ro-bind-fd", str(pinned[path]), str(path)]
        elif path.is_symlink() and str(path) in host.SYSTEM_LINKS:
            arguments += ["--symlink", str(path.readlink()), str(path)]
        else:
            arguments += ["--ro-bind", str(path.resolve()), str(path)]
    for place, hidden in view.covers():
        if hidden.is_dir():
            arguments += ["--perms", "0000", "--tmpfs", str(place), "--remount-ro", str(place)]
        else:
            arguments += ["--ro-bind", "/dev/null", str(place)]
    return arguments
