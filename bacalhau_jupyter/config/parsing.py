"""Config values: from text, YAML or flags to the Python value of their key's kind."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bacalhau_jupyter.config.keys import KEYS, SECTIONS, Key, Kind, find_key
from bacalhau_jupyter.config.words.notices import tell
from bacalhau_jupyter.config.words.table import OLD_KEYS, OLD_SECTIONS
from bacalhau_jupyter.config.words.word import Word
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.goduration import parse_go_duration
from bacalhau_jupyter.models.jobs.units import parse_bytes
from bacalhau_jupyter.models.yamltext import read_yaml

_LIST_HINT = "`bacalhau-jupyter config list` shows every key"


def known_key(name: str, where: str = "") -> Key:
    """Return the key of that name, ignoring case.

    Raises
    ------
    ConfigurationError
        There is none; the closest one is named.
    """
    key = find_key(name.strip())
    if key is not None:
        return key
    close = difflib.get_close_matches(name.lower(), [other.lower() for other in KEYS], 1, cutoff=0.6)
    nearest = find_key(close[0]) if close else None
    raise ConfigurationError(
        f"{_at(where)}there is no config key {name.strip() or '(empty)'}",
        hint=f"Did you mean {nearest.name}?" if nearest else _LIST_HINT,
    )


def parse_value(key: Key, value: object, where: str = "") -> Any:
    """Return the Python value of a key.

    Parameters
    ----------
    value
        Text (from ``-c`` or the environment) or what YAML or a flag gave.
    where
        Where the value comes from, for the error's sentence.

    Raises
    ------
    ConfigurationError
        The value is not of the key's kind; key, value and source are named.
    """
    try:
        parsed = _PARSERS[key.kind](value)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        # Records hold passwords, and YAML's own error would quote them.
        hidden = key.secret or key.kind is Kind.RECORDS
        shown = "********" if hidden else repr(value)
        kind = key.kind.value if key.kind is Kind.FLAG else f"a {key.kind.value}"
        problem = ConfigurationError(f"{_at(where)}{key.name} must be {kind}, not {shown}")
        raise problem from (None if hidden else error)
    parsed = dict(key.aliases).get(str(parsed), parsed) if key.aliases else parsed
    if key.choices and str(parsed).lower() not in key.choices:
        raise ConfigurationError(
            f"{_at(where)}{key.name} must be one of {', '.join(key.choices)}, not {parsed!r}",
        )
    return str(parsed).lower() if key.choices else parsed


def read_file(path: Path) -> dict[str, Any]:
    """Return the values a YAML config file sets, by exact key name.

    Raises
    ------
    ConfigurationError
        The file can't be read, is not YAML, names an unknown key or has a wrong value.
    """
    try:
        plain = read_yaml(read_text(path))
    except FileNotFoundError as error:
        raise ConfigurationError(f'the specified configuration file "{path}" doesn\'t exist') from error
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f'config file "{path}" can\'t be read: {reason}') from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f'config file "{path}" is not YAML: {_yaml_problem(error)}') from None
    if plain is None:
        return {}
    if not isinstance(plain, Mapping):
        raise ConfigurationError(f'config file "{path}" must hold keys and values')
    # What is said by a key of today wins, wherever it stands.
    flat = sorted(_flat(plain, "", str(path)), key=lambda item: item[2])
    return {name: value for name, value, _ in flat}


def modern_values(name: str, value: object, where: str) -> list[tuple[Key, Any]] | None:
    """Return what a key of an older version sets, and tell its names of today; None where it is no such key.

    Raises
    ------
    ConfigurationError
        The value is of the wrong kind; key and source are named.
    """
    word = OLD_KEYS.get(name.strip().lower())
    if word is None:
        return None
    if value is None:
        # A key without a value says nothing.
        return []
    tell(f"{_at(where)}{word.notice}")
    return values_of(word, value, where)


def values_of(word: Word, value: object, where: str) -> list[tuple[Key, Any]]:
    """Return the keys that a word of an older version sets, with their values.

    Raises
    ------
    ConfigurationError
        The value is of the wrong kind; word and source are named.
    """
    if word.values is None:
        return []
    try:
        text = ",".join(map(_text, value)) if isinstance(value, (list, tuple)) else _text(value)
    except TypeError as error:
        raise ConfigurationError(f"{_at(where)}{word.name} must be one value, not {value!r}") from error
    pairs = word.values(text)
    return [(key := known_key(name), parse_value(key, item, where)) for name, item in pairs.items()]


def _flat(tree: Mapping[Any, Any], prefix: str, where: str) -> Iterator[tuple[str, Any, bool]]:
    """Return names and values of keys, and whether the name is one of today."""
    for name, value in tree.items():
        full = f"{prefix}{name}"
        old = modern_values(full, value, where)
        if old is not None:
            yield from ((key.name, item, False) for key, item in old)
        elif full.lower() not in SECTIONS and full.lower() not in OLD_SECTIONS:
            key = known_key(full, where)
            if value is not None:
                # A bare number in a file could be meant as seconds or, as in Go, nanoseconds: ask for a unit.
                unclear = key.kind is Kind.DURATION and isinstance(value, (int, float))
                yield key.name, parse_value(key, str(value) if unclear else value, where), True
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{full}.", where)
        elif value is not None:
            raise ConfigurationError(f"{_at(where)}{full} is a section: it holds keys, not a value")


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Say what is wrong and where, without the line itself: it may hold a password."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it can't be read"
    mark = error.problem_mark
    return f"{error.problem or error.context} (line {mark.line + 1}, column {mark.column + 1})"


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float, Path)):
        return str(value)
    raise TypeError(value)


def _flag(value: object) -> bool:
    flag = parse_truth(value)
    if flag is None:
        raise ValueError(value)
    return flag


def _integer(value: object) -> int:
    if isinstance(value, (bool, float)):
        raise TypeError(value)
    return int(_text(value))


def _port(value: object) -> int:
    port = _integer(value)
    if not 0 <= port <= 65535:
        raise ValueError(value)
    return port


def _duration(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return parse_go_duration(_text(value))


def _size(value: object) -> int:
    return parse_bytes(_text(value))


def _list(value: object) -> list[str]:
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            value = read_yaml(value)
        else:
            value = [item.strip() for item in value.split(",")] if value.strip() else []
    if not isinstance(value, (list, tuple)):
        raise TypeError(value)
    items = [_text(item) for item in value]
    if not all(items):
        raise ValueError(value)
    return items


def _map(value: object) -> dict[str, str]:
    if isinstance(value, str):
        if value.lstrip().startswith("{"):
            value = read_yaml(value)
        else:
            pairs = [pair.partition("=") for pair in _list(value)]
            if not all(equals for _, equals, _ in pairs):
                raise ValueError(value)
            value = {name.strip(): text.strip() for name, _, text in pairs}
    if not isinstance(value, Mapping) or not all(str(name) for name in value):
        raise TypeError(value)
    return {str(name): _text(item) for name, item in value.items()}


def _tree(value: object) -> dict[str, Any]:
    plain = read_yaml(value) if isinstance(value, str) else value
    if not isinstance(plain, Mapping):
        raise TypeError(value)
    return {str(name): item for name, item in plain.items()}


def _records(value: object) -> list[dict[str, Any]]:
    plain = read_yaml(value) if isinstance(value, str) else value
    if not isinstance(plain, list):
        raise TypeError(value)
    return [_tree(item) for item in plain]


_PARSERS = {
    Kind.TEXT: _text,
    Kind.FLAG: _flag,
    Kind.INTEGER: _integer,
    Kind.PORT: _port,
    Kind.DURATION: _duration,
    Kind.SIZE: _size,
    Kind.LIST: _list,
    Kind.MAP: _map,
    Kind.TREE: _tree,
    Kind.RECORDS: _records,
}
