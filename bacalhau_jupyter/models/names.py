"""File names as text: names are bytes, JSON is UTF-8.

Inside, a name is a `str` as Python's file functions return it: bytes that are not UTF-8 are lone surrogates
(``surrogateescape``). On the wire such a byte is written ``%E9``. Every other name is written as it is, whatever per
cent signs it holds; only a name that would be read as an escaped one gets its per cent signs escaped, too
(``%25``). So each name has exactly one form, and `from_wire` always finds the name again.
"""

from __future__ import annotations

import re

from bacalhau_jupyter.models.text import readable

_HIGH = "[89A-F][0-9A-F]"
_SURROGATE = re.compile("[\udc80-\udcff]")
_LITERAL = re.compile(f"%(?=(?:25)*{_HIGH})")
_ESCAPE = re.compile(f"%(?:25(?=(?:25)*{_HIGH})|({_HIGH}))")


def is_text(name: str) -> bool:
    """Whether a string is text that UTF-8 can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_wire(path: str) -> str:
    """Return a file name, or a path of them, as JSON can carry it.

    Each name is itself, unless it is not UTF-8 or looks like an escaped name.
    """
    return "/".join(map(_to_wire, path.split("/")))


def from_wire(text: str) -> str:
    """Return the path that `to_wire` made ``text`` of; names that it never makes stay as they are."""
    return "/".join(map(_from_wire, text.split("/")))


def _to_wire(name: str) -> str:
    if not _SURROGATE.search(name) and _from_wire(name) == name:
        return _tellable(name)
    escaped = _SURROGATE.sub(lambda match: f"%{ord(match[0]) - 0xDC00:02X}", _LITERAL.sub("%25", name))
    return _tellable(escaped)


def _from_wire(text: str) -> str:
    name = _ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)) if match[1] else "%", text)
    return name if _canonical(name) == name else text


def shown(name: str) -> str:
    r"""Return a file name for people: on one line, without what changes a terminal or the direction of text.

    Bytes that are not UTF-8 show as ``\xe9``, a line feed as ``\n``. Nothing else may be read from it.
    """
    return readable(name)


def _canonical(name: str) -> str:
    """Return what the bytes of a name are read as."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return ""


def _tellable(name: str) -> str:
    """Replace surrogates that stand for no byte; no file name holds any."""
    return name.encode("utf-8", "backslashreplace").decode()
