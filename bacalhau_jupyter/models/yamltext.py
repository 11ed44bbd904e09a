"""YAML that somebody else may have written: bounded, each member once, and plain words stay text as in Go."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MOST_LEVELS = 100
"""Levels of nesting; each is a call of Python's, here and in all that walks through the result."""
MOST_CHARACTERS = 10_000_000
"""Characters of a text whose aliases are written out: what the API takes."""

_INTEGER = re.compile(
    r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$", re.ASCII
)
_TRUTH = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    re.ASCII,
)


def read_yaml(text: str) -> Any:
    """Return what a YAML (or JSON) text says, made of plain Python values.

    Dates and times (``2026-01-01``, ``1:30``) are text, as for official clients.

    Raises
    ------
    yaml.YAMLError
        It is not YAML, names a member twice, is nested too deeply, or its aliases make it too large.
    """
    return _read(_Loader(text))


def read_words(text: str) -> Any:
    """Return what `read_yaml` does, with numbers, and words such as ``yes``, as they are spelled.

    Raises
    ------
    yaml.YAMLError
        As there.
    """
    return _read(_WordLoader(text))


def compose_yaml(text: str) -> Node | None:
    """Return the nodes of a YAML text, which keep their spelling; None where it is empty.

    Raises
    ------
    yaml.YAMLError
        As of `read_yaml`.
    """
    loader = _WordLoader(text)
    try:
        node: Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def serialize_yaml(node: Node) -> str:
    """Write nodes of `compose_yaml`, each word as it was spelled."""
    text: str = yaml.serialize(node, Dumper=_WordDumper, allow_unicode=True)
    return text


def _read(loader: _Loader) -> Any:
    try:
        return loader.get_single_data()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # `!!int x`, or more digits than Python reads.
        raise ConstructorError(None, None, "a number or a tagged value can't be read") from error
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Counts while it reads: afterwards it would be too late."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._has_alias = False
        self._sizes: dict[int, int] = {}
        """By identity of a node: its characters with all aliases written out; 0 while it is being read."""

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias = isinstance(event, AliasEvent)
        if self._level >= MOST_LEVELS:
            raise ComposerError(
                None, None, f"it is nested more than {MOST_LEVELS} levels deep", event.start_mark
            )
        self._level += 1
        node: Node | None = super().compose_node(parent, index)
        self._level -= 1
        if is_alias:
            self._has_alias = True
            if id(node) not in self._sizes:
                raise ComposerError(None, None, f"*{event.anchor} stands inside of itself", event.start_mark)
        elif node is not None:
            size = self._sizes[id(node)] = self._size(node)
            if self._has_alias and size > MOST_CHARACTERS:
                raise ComposerError(None, None, "its aliases make it too large", event.start_mark)
            if isinstance(node, MappingNode):
                _refuse_twice(node)
        return node

    def _size(self, node: Node) -> int:
        if isinstance(node, ScalarNode):
            return len(node.value) + 1
        if isinstance(node, SequenceNode):
            return 1 + sum(self._sizes[id(item)] for item in node.value)
        return 1 + sum(self._sizes[id(name)] + self._sizes[id(item)] for name, item in node.value)


def _refuse_twice(node: MappingNode) -> None:
    names: set[tuple[str, str]] = set()
    for name, _ in node.value:
        if isinstance(name, ScalarNode) and not name.tag.endswith(":merge"):
            if (name.tag, name.value) in names:
                problem = f"{name.value[:80]!r} stands twice in the same mapping"
                raise ComposerError(None, None, problem, name.start_mark)
            names.add((name.tag, name.value))


_PLAIN = ("timestamp", "int", "float")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _PLAIN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


class _WordLoader(_Loader):
    """Knows truths, nothing, and words."""


_WordLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_WordLoader.add_implicit_resolver("tag:yaml.org,2002:bool", _TRUTH, list("tTfF"))


class _WordDumper(yaml.SafeDumper):
    """Writes what `_WordLoader` reads."""


_WordDumper.yaml_implicit_resolvers = _WordLoader.yaml_implicit_resolvers
