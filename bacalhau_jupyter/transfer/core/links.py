"""Symbolic links inside a transferred tree: where they may lead."""

from __future__ import annotations


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
