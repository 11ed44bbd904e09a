"""``config set``: one value of a config file is changed; comments, and everything else, stay as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bacalhau_jupyter.config.files import io_explained, locked, write_atomic
from bacalhau_jupyter.config.key import Key, Kind
from bacalhau_jupyter.config.parsing import known_key, modern_values, parse_value, read_file
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.yamltext import read_yaml

_AS_WRITTEN = (Kind.TEXT, Kind.DURATION, Kind.SIZE)
"""Kinds whose text goes into the file as a person wrote it; durations and sizes keep their units."""


def set_values(path: Path, texts: Mapping[str, str]) -> None:
    """Write values into a config file (0600, in one step), which is made where it is missing.

    Parameters
    ----------
    texts
        Values as text, by key name; names ignore case.

    Raises
    ------
    ConfigurationError
        An unknown key, a value of the wrong kind, or a file that is damaged already: nothing is changed then.
    IOFailure
        The file can't be written.
    """
    values: list[tuple[str, Any]] = []
    for name, value in texts.items():
        old = modern_values(name, value, "")
        if old is None:
            key = known_key(name)
            old = [(key, _plain(key, value))]
        values += [(key.name, item) for key, item in old]
    # A link to a file elsewhere stays a link.
    path = path.resolve()
    with io_explained("can't write", path), locked(path):
        text = ""
        if path.exists():
            read_file(path)
            text = read_text(path)
        for name, value in values:
            text = edited(text, name.split("."), value)
        write_atomic(path, text)


def edited(text: str, path: Sequence[str], value: Any) -> str:
    """Return YAML text with one value set; without its comments where they can't be kept."""
    tree = read_yaml(text)
    planted = _planted(tree if isinstance(tree, dict) else {}, path, value)
    candidate = _patched(text, path, value)
    try:
        if candidate is not None and read_yaml(candidate) == planted:
            return candidate
    except yaml.YAMLError:
        pass
    return yaml.safe_dump(planted, sort_keys=False, allow_unicode=True)


def _plain(key: Key, text: str) -> Any:
    value = parse_value(key, text)
    return text.strip() if key.kind in _AS_WRITTEN and not key.choices else value


def _planted(tree: dict[Any, Any], path: Sequence[str], value: Any) -> dict[Any, Any]:
    name, *rest = path
    present_name = next((key for key in tree if str(key).lower() == name.lower()), name)
    if not rest:
        return {**tree, present_name: value}
    below = tree.get(present_name)
    return {**tree, present_name: _planted(below if isinstance(below, dict) else {}, rest, value)}


def _patched(text: str, path: Sequence[str], value: Any) -> str | None:
    """Change only the place in the text; None where there is no such place."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return f"{text.rstrip()}\n{_nested(path, value, 0)}\n".lstrip("\n")
    for depth, name in enumerate(path):
        if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
            return None
        pair = next((pair for pair in node.value if str(pair[0].value).lower() == name.lower()), None)
        if pair is None:
            end = _line_end(text, _end(text, node.value[-1][1]))
            column = node.value[0][0].start_mark.column
            return f"{text[:end]}\n{_nested(path[depth:], value, column)}{text[end:] or chr(10)}"
        if depth == len(path) - 1:
            key_end = pair[0].end_mark.index
            return f"{text[:key_end]}: {_flow(value)}{text[_end(text, pair[1]) :]}"
        node = pair[1]
    return None


def _end(text: str, node: yaml.Node) -> int:
    """Return where a value ends; the marks of a block include the lines up to what follows."""
    lines = text[node.start_mark.index : node.end_mark.index].split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return int(node.start_mark.index) + len("\n".join(lines))


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end


def _nested(path: Sequence[str], value: Any, column: int) -> str:
    lines = [f"{' ' * (column + 2 * depth)}{name}:" for depth, name in enumerate(path)]
    return "\n".join(lines) + f" {_flow(value)}"


def _flow(value: Any) -> str:
    """Return a value on one line; JSON's texts are YAML's, too."""
    if isinstance(value, str):
        return str(yaml.safe_dump(value, width=10**9, allow_unicode=True)).removesuffix("\n...\n").strip()
    return json.dumps(value, ensure_ascii=False)
