"""Symbolic links inside a tree that travels: what they may say, and what they shall say elsewhere."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path

from bacalhau_jupyter.models.errors import IOFailure


def is_plain_link(directory: str, target: str) -> bool:
    """Whether a relative link target stays inside the tree, whatever other such links it passes through.

    That holds when it climbs first, no higher than the root, and only then descends: ``..`` after a name could
    climb from wherever a link of that name leads.

    Parameters
    ----------
    directory
        Where the link is, relative to the root; ``""`` or ``"."`` for the root itself.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    depth = len([part for part in directory.split("/") if part not in ("", ".")])
    climbing = True
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if not climbing or depth < 0:
                return False
        elif part not in ("", "."):
            climbing = False
    return True


class ResultLinks:
    """What the links below a result directory shall say where the results go.

    Parameters
    ----------
    aliases
        Absolute paths as the job saw them and the names they have among the results (``{"/outputs": "outputs"}``).
    """

    def __init__(self, root: Path, aliases: Mapping[str, str], component: str) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._aliases = {posixpath.normpath(path): name for path, name in aliases.items()}
        self._component = component

    def target(self, name: str) -> str:
        """Return what the link ``name`` (relative to the root) shall say: relative, and inside.

        Raises
        ------
        IOFailure
            It points outside.
        """
        target = str((self._root / name).readlink())
        here = posixpath.dirname(name)
        if target.startswith("/"):
            inside = self._inside(target)
        elif is_plain_link(here, target):
            return target
        else:
            inside = self._inside(posixpath.join(self._real_root, here, target))
        if inside is None:
            raise IOFailure(
                f"the link {name} in the results points outside of them, to {target}",
                hint="copy the file there instead, or make the link relative to a file among the results",
                component=self._component,
            )
        return posixpath.relpath(inside, here or ".")

    def _inside(self, target: str) -> str | None:
        """Return the name among the results that an absolute target means, here or inside the job; None: outside."""
        for place, name in self._aliases.items():
            plain = posixpath.normpath(target)
            if plain == place or plain.startswith(place.rstrip("/") + "/"):
                return posixpath.join(name, posixpath.relpath(plain, place))
        real = os.path.realpath(target)
        if real == self._real_root or real.startswith(self._real_root.rstrip("/") + "/"):
            return posixpath.relpath(real, self._real_root)
        return None
