"""The calls in a policy's text: found outside of strings and comments, and renamed where they stand."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

# What is skipped comes first: comments, quoted strings, raw strings.
_TOKEN = re.compile(
    r"""
    (?P<skipped> \#[^\n]* | "(?:[^"\\\n]|\\.)*" | `[^`]*` )
    | (?<![\w.]) (?P<call> [A-Za-z_]\w* (?: \. [A-Za-z_]\w* )* ) (?= \( )
    """,
    re.VERBOSE,
)
_NAME = re.compile(
    r"""
    (?P<skipped> \#[^\n]* | "(?:[^"\\\n]|\\.)*" | `[^`]*` )
    | (?<![\w.]) (?P<name> [A-Za-z_]\w* ) (?= (?P<after> \s* .? ) )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN = frozenset(["true", "false", "null"])
_IMPORT = re.compile(r"^import\s+(?:data|input)\.([\w.]+)(?:\s+as\s+(\w+))?", re.MULTILINE)
_FUNCTION = re.compile(r"^(?:default\s+)?([A-Za-z_]\w*)\(", re.MULTILINE)


def calls(text: str) -> set[str]:
    """Return the names of what a module calls: built-in functions, and functions of its own."""
    return {match["call"] for match in _calls(text)}


def has_package(text: str) -> bool:
    """Whether a module begins with its package, as it must."""
    return re.match(r"(?:\s|#[^\n]*\n)*package\s", text) is not None


def own_functions(text: str) -> set[str]:
    """Return the names of the functions that a module defines itself, which hide built-in ones."""
    return set(_FUNCTION.findall(text))


def imported(text: str) -> set[str]:
    """Return the names under which a module knows other packages."""
    return {alias or path.rpartition(".")[2] for path, alias in _IMPORT.findall(text)}


def without_escapes(text: str, package: str) -> tuple[str, dict[str, str]]:
    """Move texts with escapes to a package, for an engine that compares them as they are spelled.

    Returns
    -------
    tuple
        The module, and the texts by name. Patterns of ``regex`` functions stay: the engine reads those rightly.
    """
    texts: dict[str, str] = {}
    uses_patterns = any(call.startswith("regex.") for call in calls(text))

    def replace(match: re.Match[str]) -> str:
        literal = match["skipped"]
        if not literal or literal.startswith("#"):
            return match[0]
        if literal.startswith("`"):
            if uses_patterns or not set(literal[1:-1]) & set('\\"\n\t'):
                return match[0]
            value = literal[1:-1]
        else:
            is_pattern = re.search(r"regex\.\w+\(\s*$", text[: match.start()])
            if "\\" not in literal or is_pattern or text[: match.start()].endswith("$"):
                return match[0]
            try:
                value = str(json.loads(literal))
            except ValueError:
                return match[0]
        name = f"text_{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
        texts[name] = value
        return f"data.{package}.{name}"

    return _TOKEN.sub(replace, text), texts


def unbound(text: str) -> list[str]:
    """Return variables that nothing gives a value: names that stand nowhere but as values in objects.

    The built-in engine takes a rule with such a variable for undefined; the official one refuses the policy. This is
    no complete check of safety, but it finds a constant whose definition was forgotten.
    """
    others, as_values = set(_PLAIN), []
    for match in _NAME.finditer(text):
        name = match["name"]
        if not name:
            continue
        before = text[: match.start()].rstrip(" \t")
        if before.endswith(":") and match["after"].strip() in (",", "}"):
            as_values.append(name)
        else:
            others.add(name)
    return sorted(set(as_values) - others)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Replace the names of calls; strings and comments stay as they are."""

    def replace(match: re.Match[str]) -> str:
        call = match["call"]
        return match[0] if call is None else names.get(call, call)

    return _TOKEN.sub(replace, text)


def _calls(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _TOKEN.finditer(text) if match["call"])
