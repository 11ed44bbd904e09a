"""The house style where a program can judge it: names, durations, long argument lists, and the formatter's say."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bacalhau_jupyter", "tests", "benchmarks", "labextension/packaging")
VAGUE = {"found", "wanted", "told", "given"}
VAGUE_PARAMETERS = VAGUE | {"seen", "known"}
DURATION = re.compile(r"(\w+_)?(timeout|grace|patience|interval|delay|pause)")
NUMBERS = {"float", "int", "float | None", "int | None"}
MOST_POSITIONAL = 6

Fault = tuple[int, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def sources() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


@functools.cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def names(tree: ast.AST) -> Iterator[tuple[int, str, set[str]]]:
    """Yield line, name, and the names that say too little there, of each parameter, local and attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg, VAGUE_PARAMETERS
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id, VAGUE
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr, VAGUE


def vague_names(source: str) -> Iterator[Fault]:
    for line, name, vague in names(parsed(source)):
        if name.lstrip("_") in vague:
            yield line, f"{name!r} does not say what it holds"


def durations_without_a_unit(source: str) -> Iterator[Fault]:
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.arg) or node.annotation is None or not DURATION.fullmatch(node.arg):
            continue
        if ast.unparse(node.annotation) in NUMBERS:
            yield (
                node.lineno,
                f"the parameter {node.arg!r} does not say its unit: {node.arg}_s for seconds",
            )


def long_argument_lists(source: str) -> Iterator[Fault]:
    """Yield functions and makers of objects with many positional arguments; pytest fills those of tests by name."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, Function):
            name = getattr(node, "name", "a lambda")
            by_pytest = name.startswith("test_") or "fixture" in ast.unparse(
                ast.Tuple(getattr(node, "decorator_list", []), ast.Load())
            )
            positional = [*node.args.posonlyargs, *node.args.args]
            count = len([each for each in positional if each.arg not in ("self", "cls")])
            if count > MOST_POSITIONAL and not by_pytest:
                yield node.lineno, f"{name} takes {count} positional arguments: make some keyword-only"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and len(node.args) > MOST_POSITIONAL
        ) and node.func.id.lstrip("_")[:1].isupper():
            yield node.lineno, f"{node.func.id} is made of {len(node.args)} values: name them"


def lines_the_formatter_skips(source: str) -> Iterator[Fault]:
    for line, text in enumerate(source.splitlines(), 1):
        if re.search(r"#\s*fmt:\s*(skip|off|on)\b", text):
            yield line, "the formatter decides how code is laid out"


def shared_dice(source: str) -> Iterator[Fault]:
    """Yield uses of the generator that all of a process share: a user may have seeded it for work of his own."""
    for node in ast.walk(parsed(source)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
            and node.attr not in ("Random", "SystemRandom")
        ):
            yield node.lineno, f"random.{node.attr} belongs to the whole process: use a Random of your own"


RULES = [vague_names, durations_without_a_unit, long_argument_lists, lines_the_formatter_skips, shared_dice]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_source_breaks_the_rule(rule: Callable[[str], Iterator[Fault]]) -> None:
    faults = [f"{name}:{line}: {reason}" for name, source in sources() for line, reason in rule(source)]
    assert faults == [], "\n".join(faults)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (vague_names, "def f(wanted): pass"),
        (vague_names, "lambda seen: 1"),
        (vague_names, "for found in (): pass"),
        (vague_names, "self._told = 1"),
        (durations_without_a_unit, "def f(*, timeout: float = 1.0): pass"),
        (durations_without_a_unit, "async def f(read_timeout: int | None): pass"),
        (long_argument_lists, "def f(a, b, c, d, e, f, g): pass"),
        (long_argument_lists, "_Plan(1, 2, 3, 4, 5, 6, 7)"),
        (lines_the_formatter_skips, "x = 1  # " + "fmt: skip"),
        (shared_dice, "x = random.uniform(0, 1)"),
    ],
)
def test_a_source_that_breaks_a_rule_is_found(rule: Callable[[str], Iterator[Fault]], source: str) -> None:
    assert list(rule(source))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (vague_names, "seen: set[str] = set()"),
        (durations_without_a_unit, "def f(timeout_s: float, deadline: float): pass"),
        (long_argument_lists, "def f(self, a, b, c, d, e, f, *, g): pass"),
        (long_argument_lists, "def test_f(a, b, c, d, e, f, g): pass"),
        (long_argument_lists, "run(1, 2, 3, 4, 5, 6, 7)"),
        (shared_dice, "x = random.Random(7).uniform(0, 1) + self.random.random()"),
    ],
)
def test_a_source_that_keeps_the_rules_is_not_reported(
    rule: Callable[[str], Iterator[Fault]], source: str
) -> None:
    assert not list(rule(source))
