"""Where inputs and results appear to modules, and files found by the paths that modules use."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.inputs import open_input

COMPONENT = "WASM"
_FOR_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SUFFIX = ".wasm"
_SHOWN = 200
"""Characters of a name that errors repeat: a module may have chosen it."""


class NotFound(Exception):
    """There is no such module; the text is a sentence."""


def guest_path(text: str) -> str:
    """Return a path as modules see it: absolute (official clients write ``main.wasm`` for ``/main.wasm``)."""
    return "/" + text.strip("/")


def is_plain(path: str) -> bool:
    """Whether a path says by itself where it leads, and is not the root."""
    return path != "/" and posixpath.normpath(path) == path and "\0" not in path


def covers(target: str, path: str) -> bool:
    """Whether a path is at or below a target."""
    return path == target or path.startswith(f"{target}/")


@dataclass(frozen=True)
class Found:
    """A module's file: its path as modules see it, and an open descriptor."""

    path: str
    descriptor: int


def find(inputs: Sequence[InputMount], name: str) -> Found:
    """Open a module by the path or name that refers to it; the caller closes it.

    A directory stands for the one ``.wasm`` file in it, as official clients pack their modules.

    Raises
    ------
    NotFound
        There is none, or a directory does not hold just one.
    BacalhauError
        An input is not what was checked, or can't be read.
    """
    path = guest_path(name)
    name = name[:_SHOWN]
    mount = _mount(inputs, path)
    if mount is None or not is_plain(path):
        raise NotFound(f"module not found: {name!r}")
    opened = open_input(mount, COMPONENT)
    try:
        below = path[len(guest_path(mount.target)) :].strip("/")
        if not beneath.is_directory(opened):
            if below:
                raise NotFound(f"module not found: {name!r}")
            return Found(path, open_input(mount, COMPONENT, _FOR_READING))
        return _find_below(opened, below, path, name)
    finally:
        os.close(opened)


def _mount(inputs: Iterable[InputMount], path: str) -> InputMount | None:
    """Return the input that a path lies in: the innermost."""
    around = [each for each in inputs if covers(guest_path(each.target), path)]
    return max(around, key=lambda each: len(guest_path(each.target)), default=None)


def _find_below(opened: int, below: str, path: str, name: str) -> Found:
    try:
        there = beneath.open_beneath(opened, below, _FOR_READING)
        if stat.S_ISREG(os.fstat(there).st_mode):
            return Found(path, there)
    except OSError as error:
        raise NotFound(f"module not there: {name!r} ({error.strerror or error})") from None
    try:
        if not beneath.is_directory(there):
            raise NotFound(f"module not there: {name!r} is no file")
        only = _only_module(there, name)
        return Found(f"{path.rstrip('/')}/{only}", os.open(only, _FOR_READING, dir_fd=there))
    except OSError as error:
        raise NotFound(f"module not there: {name!r} ({error.strerror or error})") from None
    finally:
        os.close(there)


def _only_module(directory: int, name: str) -> str:
    with os.scandir(directory) as entries:
        modules = [
            entry.name
            for entry in entries
            if entry.name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False)
        ]
    if len(modules) != 1:
        raise NotFound(f"module not found: the directory {name!r} holds {len(modules)} .wasm files, not one")
    return modules[0]
