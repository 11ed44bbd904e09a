"""YAML that somebody else wrote: what it means, and what it may not cost."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bacalhau_jupyter.models.yamltext import MOST_LEVELS, read_yaml


def laughs(levels: int, times: int = 9) -> str:
    """Return a text in which each of some members holds the one before it several times."""
    lines = ["m0: &m0 [" + ", ".join("x" * times) + "]"]
    lines += [
        f"m{level}: &m{level} [" + ", ".join([f"*m{level - 1}"] * times) + "]" for level in range(1, levels)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-01-31", "2026-01-31"),
        ("a: 2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("a: 1:30", "1:30"),
        ("a: 190:20:30.15", "190:20:30.15"),
        ("a: 12", 12),
        ("a: -0x1F", -31),
        ("a: 1.5", 1.5),
        ("a: 010", 8),
        ("a: yes", True),
        ("a: ~", None),
        ('{"a": [1, "b"]}', [1, "b"]),
        ("x: &x {b: 1, c: 2}\na: {<<: *x, b: 3}", {"b": 3, "c": 2}),
        ("x: &x y\na: [*x, *x]", ["y", "y"]),
    ],
)
def test_plain_words_mean_what_they_mean_to_the_official_client(text: str, value: Any) -> None:
    assert read_yaml(text)["a"] == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "'a' stands twice in the same mapping"),
        ("b: [{a: 1, a: 1}]", "'a' stands twice"),
        ("a: &x [*x]", "*x stands inside of itself"),
        ("a: &x {b: {c: *x}}", "*x stands inside of itself"),
        ("[" * 5_000, f"nested more than {MOST_LEVELS} levels deep"),
        ("{a: " * 5_000, f"nested more than {MOST_LEVELS} levels deep"),
        ("- " * 5_000, f"nested more than {MOST_LEVELS} levels deep"),
        (laughs(9), "its aliases make it too large"),
        ("x: &x " + "y" * 1_000_000 + "\na: [" + "*x, " * 20 + "]", "its aliases make it too large"),
        ("a: " + "9" * 5_000, "a number or a tagged value can't be read"),
        ("a: !!int x", "a number or a tagged value can't be read"),
        ("a: !!timestamp 2026-99-99", "a number or a tagged value can't be read"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
    ],
)
def test_what_is_wrong_or_costs_too_much_is_an_error_of_yaml(text: str, problem: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        read_yaml(text)
    assert problem in str(getattr(caught.value, "problem", ""))


def test_a_large_text_without_aliases_is_read() -> None:
    assert len(read_yaml("\n".join(f"- {'x' * 1000}" for _ in range(200)))) == 200
    assert read_yaml(laughs(4))["m3"]
