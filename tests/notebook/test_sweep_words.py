"""The words of ``--sweep``, and who is asked about large ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.notebook.sweeps.consent import check_size
from bacalhau_jupyter.notebook.sweeps.parameters import Combination, axis_of, spanned
from bacalhau_jupyter.notebook.sweeps.ranges import read_range


def combinations(texts: list[str], *, taken: Sequence[str] = ()) -> list[Combination]:
    return list(spanned(texts, taken=taken))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1,1e-3", [0.1, 0.001]),
        ("3,-4", [3, -4]),
        ("true,false,null", [True, False, None]),
        ("True,NaN,1_000,adam", ["True", "NaN", "1_000", "adam"]),
        ('"a,b",c d', ["a,b", "c d"]),
        ('"1",1', ["1", 1]),
        ('[1, 2],{"a": 3}', [[1, 2], {"a": 3}]),
        ("a=b,c", ["a=b", "c"]),
        ('""', [""]),
    ],
)
def test_values_are_what_json_reads_and_else_text(text: str, values: list[Any]) -> None:
    assert [each.value for each in axis_of(text, "x")] == values


@pytest.mark.parametrize(
    "text", ["", "1,,2", "1,", '"a,b', "[1,2", '"a"b', pytest.param("[" * 100_000, id="deep")]
)
def test_what_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--sweep x"):
        axis_of(text, "x")


def test_every_combination_is_there_and_the_last_parameter_changes_fastest() -> None:
    spanned = combinations(["lr=0.1,0.01", "depth=3,5"])
    assert [each.label for each in spanned] == [
        "lr=0.1, depth=3",
        "lr=0.1, depth=5",
        "lr=0.01, depth=3",
        "lr=0.01, depth=5",
    ]
    assert spanned[3].parameters == {"lr": 0.01, "depth": 5}


def test_a_program_reads_the_values_as_they_were_written() -> None:
    (only,) = combinations(["a=1e-3", 'b="x,y"', "c=true"])
    assert only.environment(is_python=False) == {"A": "1e-3", "B": "x,y", "C": "true"}
    assert only.environment(is_python=True) == {"SWEEP_PARAMETERS": '{"a": 0.001, "b": "x,y", "c": true}'}


@pytest.mark.parametrize(
    "texts", [["lr"], ["1a=3"], ["class=3"], ["lr=1", "lr=2"], ["n=1", "N=2"], ["frame=1"]]
)
def test_a_name_that_can_not_be_a_parameter_is_refused(texts: list[str]) -> None:
    with pytest.raises(BadRequest, match="--sweep"):
        combinations(texts, taken=["frame"])


def test_a_product_that_nobody_can_mean_is_refused_before_it_is_made() -> None:
    many = ",".join(map(str, range(100)))
    with pytest.raises(BadRequest, match="100,000,000 combinations"):
        combinations([f"{name}={many}" for name in "abcd"])


def test_a_hundred_combinations_need_no_question() -> None:
    check_size(100, None, None)


def test_more_are_asked_about() -> None:
    questions: list[str] = []

    def yes(question: str) -> str:
        questions.append(question)
        return "Yes"

    check_size(101, None, yes)
    assert "101 combinations" in questions[0]
    with pytest.raises(BadRequest, match="was not submitted"):
        check_size(101, None, lambda text: "")


def test_where_nobody_answers_the_flag_is_named() -> None:
    with pytest.raises(BadRequest, match="101 combinations") as raised:
        check_size(101, None, None)
    assert "--sweep-limit 101" in raised.value.hint
    check_size(101, 101, None)


def test_ten_thousand_are_refused_without_the_flag_though_somebody_could_answer() -> None:
    with pytest.raises(BadRequest, match="10,000 combinations"):
        check_size(10_000, None, lambda text: "y")
    check_size(10_000, 10_000, None)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("1:5:1", [1, 2, 3, 4, 5]),
        ("1:6:2", [1, 3, 5]),
        ("5:1:-2", [5, 3, 1]),
        ("0:1:0.25", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("1e-3:3e-3:1e-3", [0.001, 0.002, 0.003]),
        ("7:7:1", [7]),
        ("1:3:1,10,x", [1, 2, 3, 10, "x"]),
        ('"1:3:1"', ["1:3:1"]),
        ("python:3.12,a:1:2,::1", ["python:3.12", "a:1:2", "::1"]),
    ],
)
def test_a_range_is_every_number_up_to_its_stop(text: str, values: list[Any]) -> None:
    read = [each.value for each in axis_of(text, "x")]
    assert read == values
    assert [type(each) for each in read] == [type(each) for each in values]


def test_a_program_reads_the_numbers_of_a_range_as_python_writes_them() -> None:
    labels = [each.label for each in combinations(["lr=0.1:0.3:0.1", "n=1:2:1"])]
    assert labels[:3] == ["lr=0.1, n=1", "lr=0.1, n=2", "lr=0.2, n=1"]
    assert combinations(["lr=0.1:0.3:0.1"])[2].environment(is_python=False) == {"LR": "0.3"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1:5", "needs a start, a stop and a step"),
        ("1:5:", "needs a start, a stop and a step"),
        ("1:5:1:2", "needs a start, a stop and a step"),
        ("1:5:0", "the step of the range 1:5:0 is 0"),
        ("12:30:00", "the step of the range 12:30:00 is 0"),
        ("5:1:1", "leads away from 1"),
        ("1:5:-1", "leads away from 5"),
        ("0:1e999999999:1", "too large or too small"),
        ("0:1:1e-999999999", "too large or too small"),
    ],
)
def test_a_range_that_can_not_be_read_is_refused_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match="--sweep x") as raised:
        axis_of(text, "x")
    assert reason in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("texts", "count"), [(["n=1:100:1", "m=1:100:1"], 10_000), (["n=0:1:1e-6"], 1_000_001)]
)
def test_ranges_are_counted_before_a_combination_is_made(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], count: int
) -> None:
    def made(self: object) -> None:
        raise AssertionError("a value was made")

    monkeypatch.setattr("bacalhau_jupyter.notebook.sweeps.ranges.NumberRange.__iter__", made)
    with pytest.raises(BadRequest, match=f"{count:,} combinations"):
        check_size(spanned(texts).count, None, lambda text: "y")


def test_a_range_without_end_is_refused_at_once() -> None:
    with pytest.raises(BadRequest, match="combinations"):
        spanned(["n=0:1e300:1e-300", "m=0:1e300:1e-300"])


@given(
    start=st.integers(-1000, 1000),
    step=st.integers(-50, 50).filter(bool),
    steps=st.integers(0, 60),
    beyond=st.integers(0, 49),
    digits=st.integers(0, 4),
)
def test_a_range_has_each_number_that_a_step_lands_on(
    start: int, step: int, steps: int, beyond: int, digits: int
) -> None:
    # Written with `digits` decimal places; the stop lies on the last number, or less than a step behind it.
    stop = start + steps * step + (beyond % abs(step)) * (1 if step > 0 else -1)
    written = [str(number) if not digits else f"{number}e-{digits}" for number in (start, stop, step)]
    numbers = read_range(":".join(written), "--sweep x")
    values = list(numbers)
    whole = [start + number * step for number in range(steps + 1)]
    assert values == (whole if not digits else [float(f"{number}e-{digits}") for number in whole])
    assert numbers.count == len(values)
    assert all(type(value) is (float if digits else int) for value in values)
