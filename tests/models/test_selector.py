"""Selector text, constraints and what they match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.selector import (
    describe,
    matches,
    parse_selector,
    parse_selectors,
    split_favoured,
)
from bacalhau_jupyter.models.jobs.spec import Constraint

LABELS = {"zone": "eu", "cores": "8", "gpu": "", "bacalhau.org/tier": "a"}


@pytest.mark.parametrize(
    ("text", "key", "operator", "values"),
    [
        ("a=b", "a", "=", ["b"]),
        ("a == b", "a", "==", ["b"]),
        ("a!=b", "a", "!=", ["b"]),
        ("a in (x,y)", "a", "in", ["x", "y"]),
        ("a notin ( x , y )", "a", "notin", ["x", "y"]),
        ("a in ()", "a", "in", [""]),
        ("a", "a", "exists", []),
        ("! a", "a", "!", []),
        ("a>1", "a", "gt", ["1"]),
        ("a < 5", "a", "lt", ["5"]),
        ("a=", "a", "=", [""]),
        ("favour_bacalhau.org/gpu-type=A100", "favour_bacalhau.org/gpu-type", "=", ["A100"]),
        ("in=x", "in", "=", ["x"]),
    ],
)
def test_each_form_of_requirement(text: str, key: str, operator: str, values: list[str]) -> None:
    assert parse_selector(text) == [Constraint(key=key, operator=operator, values=values)]


def test_requirements_are_joined_by_commas() -> None:
    parsed = parse_selector(" a=b,c in (x,y) , !d,e>1 ")
    assert [(c.key, c.operator) for c in parsed] == [("a", "="), ("c", "in"), ("d", "!"), ("e", "gt")]
    assert parse_selectors(["a=b", "", "c"]) == parse_selector("a=b,c")
    assert parse_selector("  ") == []


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("=b", 'found "=" at position 1, expected a label key'),
        ("a b", 'found "b" at position 3, expected one of'),
        ("a=b=c", 'found "=" at position 4, expected a comma'),
        ("a=b,", 'found "," at position 4, expected a comma and another requirement'),
        ("a in x", 'found "x" at position 6, expected "("'),
        ("a in (x", "found the end at position 8"),
        ("a in (x y)", 'found "y" at position 9'),
        ("a>b", 'found "b" at position 3, expected an integer'),
        ("a>", "found the end at position 3, expected an integer"),
        ("!", "found the end at position 2, expected a label key"),
        ("a,,b", 'found "," at position 3, expected a label key'),
    ],
)
def test_a_wrong_selector_is_refused_with_its_position(text: str, position: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_selector(text)
    assert position in caught.value.message
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zone=eu", True),
        ("zone=us", False),
        ("zone!=us", True),
        ("zone!=eu", False),
        ("missing!=x", True),
        ("missing=x", False),
        ("missing=", False),
        ("gpu=", True),
        ("zone in (us,eu)", True),
        ("zone notin (us)", True),
        ("missing notin (a)", True),
        ("missing in (a)", False),
        ("gpu", True),
        ("missing", False),
        ("!missing", True),
        ("!zone", False),
        ("cores>7", True),
        ("cores>8", False),
        ("cores<9", True),
        ("cores>10", False),
        ("zone>1", False),
        ("missing<1", False),
        ("bacalhau.org/tier=a,cores>1", True),
        ("zone=eu,cores>100", False),
        ("", True),
    ],
)
def test_matching(text: str, expected: bool) -> None:
    assert matches(parse_selector(text), LABELS) is expected


def test_an_unknown_operator_matches_nothing() -> None:
    assert not matches([Constraint(key="zone", operator="like", values=["eu"])], LABELS)
    assert not matches([Constraint(key="cores", operator="gt", values=["x"])], LABELS)


def test_favoured_constraints_are_split_off_and_lose_their_prefix() -> None:
    required, favoured = split_favoured(parse_selector("zone=eu,favour_gpu in (a,b)"))
    assert required == parse_selector("zone=eu")
    assert favoured == parse_selector("gpu in (a,b)")


def test_constraints_are_described_as_bacalhau_does() -> None:
    assert describe(parse_selector("zone")) == "[zone exists ]"
    assert describe(parse_selector("zone=eu,gpu in (a,b)")) == "[zone = eu gpu in a|b]"


@given(st.text(alphabet="ab1=!<>(), \tin", max_size=20))
def test_any_text_parses_or_is_refused_and_never_fails_otherwise(text: str) -> None:
    try:
        constraints = parse_selector(text)
    except BadRequest:
        return
    assert isinstance(matches(constraints, {"a": "1"}), bool)
