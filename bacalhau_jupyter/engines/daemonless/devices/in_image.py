"""A driver's libraries in an image: links to them, and where the image's linker finds them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from bacalhau_jupyter.engines.daemonless.devices.given import Given
from bacalhau_jupyter.engines.daemonless.placing import COVERED, Placed, within
from bacalhau_jupyter.engines.daemonless.tree import Found, NotFound, Tree
from bacalhau_jupyter.engines.daemonless.upper import Upper
from bacalhau_jupyter.engines.supervised.mounts import NotPlaced

_SEARCHED = "LD_LIBRARY_PATH"
_C_LIBRARY = "libc.so.6"


def with_variables(env: Mapping[str, str], hardware: Given, tree: Tree) -> dict[str, str]:
    """Return a job's variables with those for its GPUs, which go before the job's own.

    A container runtime would make the image's cache of libraries anew. Here the linker is told of the directories in
    which it would not look by itself.
    """
    variables = {**env, **hardware.variables}
    folders = [each for each in hardware.folders if not _is_searched(each, tree)]
    if folders:
        variables[_SEARCHED] = ":".join([*filter(None, [variables.get(_SEARCHED, "")]), *folders])
    return variables


def make_links(hardware: Given, placed: Placed, upper: Upper, tree: Tree) -> None:
    """Make the links in the task's layer; what the image has at such a place is covered.

    Raises
    ------
    NotPlaced
        The image has a file where a directory has to be.
    """
    for text, place in hardware.links:
        folder, name = posixpath.split(place)
        try:
            parent = tree.find(folder)
            path = f"{parent.path.rstrip('/')}/{name}"
            if not any(within(path, each) for each in (*COVERED, *(each.target for each in placed.mounts))):
                upper.link(Found(path, 0), text)
        except NotFound as reason:
            raise NotPlaced(f"{place}, in this image: {reason}") from None


def _is_searched(folder: str, tree: Tree) -> bool:
    """Whether the image's linker looks into a directory by itself: its C library lies there."""
    try:
        return bool(tree.find(f"{folder}/{_C_LIBRARY}").mode)
    except NotFound:
        return False
