"""Changes one entry of ``hosts.yaml`` and leaves the rest as a person wrote it, comments too; pure."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node

from bacalhau_jupyter.models.yamltext import compose_yaml, read_words

SECTION = "hosts"
HEAD = """\
# Docker hosts that run jobs of this node: `bacalhau-jupyter host --help`, docs/hosts.md.
# You can edit this file; the node reads it again when it changes.
"""


def with_entry(text: str, name: str, entry: dict[str, Any]) -> str:
    """Return the text with an entry in place of the one of that name, or behind all others."""
    after = _hosts(text) | {name: entry}
    return _changed(text, name, entry, after)


def without_entry(text: str, name: str) -> str:
    """Return the text without the entry of a name."""
    after = _hosts(text)
    after.pop(name, None)
    return _changed(text, name, None, after)


def _changed(text: str, name: str, entry: dict[str, Any] | None, after: dict[str, Any]) -> str:
    edited = _edited(text if text.endswith("\n") or not text else f"{text}\n", name, entry)
    # What is written differs in nothing but this entry, or it is not written.
    if edited is not None and _hosts(edited) == read_words(yaml.safe_dump(after)):
        return edited
    # It stands there in a way that can't be edited line by line (a flow of braces, an anchor): written anew.
    return HEAD + yaml.safe_dump({SECTION: after}, sort_keys=False, allow_unicode=True)


def _edited(text: str, name: str, entry: dict[str, Any] | None) -> str | None:
    """Return the text with the lines of one entry replaced; None where that can't be done."""
    root = compose_yaml(text)
    if root is None:
        if entry is None:
            return text
        return (text or HEAD) + "\n".join([f"{SECTION}:", *_lines(name, entry, 2), ""])
    section = _member(root, SECTION)
    if not isinstance(section, MappingNode) or section.flow_style or not section.value:
        return None
    lines = text.splitlines()
    first = section.value[0][0]
    new = [] if entry is None else _lines(name, entry, first.start_mark.column)
    pair_there = next((pair for pair in section.value if getattr(pair[0], "value", None) == name), None)
    if pair_there is None:
        last = _last_line(lines, *section.value[-1])
        return _joined([*lines[: last + 1], *new, *lines[last + 1 :]])
    begin, last = pair_there[0].start_mark.line, _last_line(lines, *pair_there)
    return _joined([*lines[:begin], *new, *lines[last + 1 :]])


def _last_line(lines: list[str], key: Node, value: Node) -> int:
    """Return the last line of an entry: what stands behind it, empty or a comment, belongs to what follows."""
    begin, indent = key.start_mark.line, key.start_mark.column
    is_block = isinstance(value, CollectionNode) and not value.flow_style
    last = min(value.end_mark.line - is_block, len(lines) - 1)
    while last > begin and not _is_part(lines[last], indent):
        last -= 1
    return last


def _is_part(line: str, indent: int) -> bool:
    text = line.lstrip(" ")
    return bool(text) and (not text.startswith("#") or len(line) - len(text) > indent)


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _lines(name: str, entry: dict[str, Any], indent: int) -> list[str]:
    text = yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True)
    return [f"{' ' * indent}{line}" for line in text.splitlines()]


def _hosts(text: str) -> dict[str, Any]:
    try:
        plain = read_words(text)
    except yaml.YAMLError:
        return {}
    section = plain.get(SECTION) if isinstance(plain, dict) else None
    return dict(section) if isinstance(section, dict) else {}


def _member(root: Node, name: str) -> Node | None:
    if not isinstance(root, MappingNode):
        return None
    return next((value for key, value in root.value if getattr(key, "value", None) == name), None)
