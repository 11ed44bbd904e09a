"""Which user an image means by its ``USER``: a name or number, with a group or without, as its own files have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bacalhau_jupyter.engines.daemonless.tree import Tree

PASSWD, GROUP = "/etc/passwd", "/etc/group"
LAST_ID = (1 << 31) - 1
_LIMIT = 4 << 20
"""Bytes of these files that are read."""
_MAX_GROUPS = 65536


class NoUser(Exception):
    """The image has no such user or group; the text says which."""


@dataclass(frozen=True)
class Account:
    """A user of an image: numbers, further groups and home directory."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def account(spec: str, tree: Tree) -> Account:
    """Return the user that ``USER`` names.

    Parameters
    ----------
    spec
        ``name``, ``uid``, ``name:group``, ``uid:gid``, …; empty means root.
    tree
        The image, with its ``/etc/passwd`` and ``/etc/group``.

    Raises
    ------
    NoUser
        A name is unknown, or a number too large.
    """
    user, _, group = spec.partition(":")
    for text in (user, group):
        if text.isascii() and text.isdigit() and _number(text) is None:
            raise NoUser(f"uids and gids must be in range 0-{LAST_ID}")
    uid, gid, home, name = _user(user, tree)
    if not group:
        further = [number for number, members in _groups(tree) if name and name in members]
        return Account(uid, gid, tuple(dict.fromkeys(further))[:_MAX_GROUPS], home)
    return Account(uid, _group(group, tree), (), home)


def _user(spec: str, tree: Tree) -> tuple[int, int, str, str]:
    number = _number(spec) if spec else 0
    for name, uid, gid, home in _users(tree):
        if uid == number if not spec else spec == name or uid == number:
            return uid, gid, home, name
    if number is None:
        raise NoUser(f"unable to find user {spec}: no matching entries in passwd file")
    return number, 0, "/", ""


def _group(spec: str, tree: Tree) -> int:
    number = _number(spec)
    for fields in _lines(GROUP, tree):
        gid = _number(fields[2]) if len(fields) > 2 else None
        if gid is not None and (fields[0] == spec or gid == number):
            return gid
    if number is None:
        raise NoUser(f"unable to find group {spec}: no matching entries in group file")
    return number


def _users(tree: Tree) -> Iterator[tuple[str, int, int, str]]:
    for fields in _lines(PASSWD, tree):
        uid, gid = (_number(text) for text in (*fields[2:4], "", "")[:2])
        if fields[0] and uid is not None and gid is not None:
            yield fields[0], uid, gid, fields[5] if len(fields) > 5 else "/"


def _groups(tree: Tree) -> Iterator[tuple[int, list[str]]]:
    for fields in _lines(GROUP, tree):
        gid = _number(fields[2]) if len(fields) > 2 else None
        if gid is not None:
            yield gid, fields[3].split(",") if len(fields) > 3 else []


def _lines(path: str, tree: Tree) -> Iterator[list[str]]:
    # Bytes that are not UTF-8 stay what they are.
    text = tree.read(path, _LIMIT).decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        if ":" in line and not line.startswith("#"):
            yield line.strip("\r").split(":")


def _number(text: str) -> int | None:
    """Return a user's or group's number; None for a text that is not one, or too large."""
    is_number = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if is_number and int(text) <= LAST_ID else None
