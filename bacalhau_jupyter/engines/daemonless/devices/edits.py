"""What a CDI specification changes in a container, read from untyped YAML.

Its hooks are programs that a container runtime would run as root. None is run here: what NVIDIA's do is either done by
this engine, or not needed in its sandbox. A hook that is not known makes the device unusable, and is named.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

NOT_NEEDED = frozenset({"chmod", "disable-device-node-modification", "enable-cuda-compat"})
"""Hooks for directories that are open here anyway, against changes that no job may make, and for images that are newer
than the driver."""
_PROGRAMS = ("nvidia-cdi-hook", "nvidia-ctk")
_Entry = TypeVar("_Entry")
_MOST = 10_000
"""Entries of one list."""
_CHARACTERS = 4096


class Unusable(Exception):
    """A specification can't be used; the text is one sentence."""


@dataclass(frozen=True)
class Edits:
    """What a container gets.

    Attributes
    ----------
    nodes, mounts
        Device files, and files and directories: where they are, and where the job finds them.
    variables
        For the job's environment.
    links
        Texts of symbolic links, and where these lie.
    folders
        Directories in which the job's linker looks for libraries.
    """

    nodes: tuple[tuple[str, str], ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    folders: tuple[str, ...] = ()

    def __add__(self, other: Edits) -> Edits:
        """Join two; what both have is there once."""
        return Edits(
            _once(self.nodes, other.nodes),
            _once(self.mounts, other.mounts),
            _once(self.variables, other.variables),
            _once(self.links, other.links),
            _once(self.folders, other.folders),
        )


def parse_edits(value: object) -> Edits:
    """Return what ``containerEdits`` says.

    Raises
    ------
    Unusable
        It is not what the specification of CDI allows, or asks for what can't be done here.
    """
    edits = _object(value, "containerEdits")
    for name in ("intelRdt", "netDevices"):
        if edits.get(name):
            raise Unusable(f"it asks for {name}, which only a container runtime can give")
    links: list[tuple[str, str]] = []
    folders: list[str] = []
    for hook in _objects(edits, "hooks"):
        _read_hook(hook, links, folders)
    return Edits(
        nodes=tuple(_pair(each, "path", "hostPath") for each in _objects(edits, "deviceNodes")),
        mounts=tuple(_pair(each, "containerPath", "hostPath") for each in _objects(edits, "mounts")),
        variables=tuple(_variable(each) for each in _texts(edits, "env")),
        links=tuple(links),
        folders=tuple(folders),
    )


def _pair(entry: dict[str, Any], inside: str, outside: str) -> tuple[str, str]:
    place = _path(entry.get(inside), inside)
    return _path(entry.get(outside) or place, outside), place


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or "\0" in text:
        raise Unusable(f"{text[:100]!r} is not a variable")
    return name, value


def _read_hook(hook: dict[str, Any], links: list[tuple[str, str]], folders: list[str]) -> None:
    arguments = _texts(hook, "args")
    program = posixpath.basename(str(hook.get("path") or (arguments[:1] or [""])[0]))
    rest = arguments[2:] if arguments[1:2] == ["hook"] else arguments[1:]
    name = rest[0] if rest else ""
    if program not in _PROGRAMS or not name:
        raise Unusable(f"it has a hook that only a container runtime can run ({(program or name)[:100]!r})")
    match name:
        case "create-symlinks":
            links += [_link(each) for each in _options(rest[1:], "--link")]
        case "update-ldcache":
            folders += [_path(each, "--folder") for each in _options(rest[1:], "--folder")]
        case _ if name not in NOT_NEEDED:
            raise Unusable(f"it has a hook that is not known here ({name[:100]!r})")


def _link(text: str) -> tuple[str, str]:
    target, separator, place = text.partition("::")
    if not separator or not target or "\0" in target or len(target) > _CHARACTERS:
        raise Unusable(f"{text[:100]!r} is not a link")
    return target, _path(place, "--link")


def _options(arguments: Sequence[str], name: str) -> Iterator[str]:
    """Return the values of an option, given as ``--name value`` or ``--name=value``."""
    for position, each in enumerate(arguments):
        if each == name and position + 1 < len(arguments):
            yield arguments[position + 1]
        elif each.startswith(f"{name}="):
            yield each[len(name) + 1 :]


def _path(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > _CHARACTERS:
        raise Unusable(f"{what} is not an absolute path: {str(value)[:100]!r}")
    path = posixpath.normpath(value).replace("//", "/")
    if ".." in value.split("/") or path == "/":
        raise Unusable(f"{what} leads elsewhere: {value[:100]!r}")
    return path


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unusable(f"{what} is not an object")
    return value


def _objects(parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return _list(parent, name, lambda each: isinstance(each, dict))


def _texts(parent: dict[str, Any], name: str) -> list[str]:
    return _list(parent, name, lambda each: isinstance(each, str))


def _list(parent: dict[str, Any], name: str, is_right: Callable[[object], bool]) -> list[Any]:
    values = parent.get(name) or []
    if not isinstance(values, list) or len(values) > _MOST or not all(is_right(each) for each in values):
        raise Unusable(f"{name} is not a list of what belongs there")
    return values


def _once(first: tuple[_Entry, ...], second: tuple[_Entry, ...]) -> tuple[_Entry, ...]:
    return tuple(dict.fromkeys((*first, *second)))
