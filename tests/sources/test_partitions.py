"""Which execution gets which object: the rows are upstream's own, and every other node computes the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.sources.partitions import assign, fnv1a, parse_partition, selector

SET1 = "integration-tests-do-not-delete/set1/"
FILES = ("001.txt", "002.txt", "101.txt", "102.txt")
PAIRS = r"user(\d+)-group(\d+)"


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968), ("é", 0x1E9DE8C1)]
)
def test_hashes_are_fnv_1a_of_the_utf_8_bytes(text: str, expected: int) -> None:
    assert fnv1a(text) == expected


@pytest.mark.parametrize(
    ("partition", "total", "expected"),
    [
        (
            {"Type": "regex", "Pattern": r"user(\d+)"},
            4,
            {"user456": 0, "nobody": 0, "user789": 1, "user123": 3},
        ),
        ({"Type": "regex", "Pattern": r"00\d"}, 3, {"001": 0, "002": 0, "003": 1}),
        (
            {"Type": "regex", "Pattern": PAIRS},
            3,
            {"user123-group456": 2, "user789-group012": 2, "user123-group999": 1},
        ),
    ],
)
def test_patterns_share_out_as_upstream(partition: Any, total: int, expected: dict[str, int]) -> None:
    of = assign(parse_partition(partition), "", total)
    assert {key: of(key) for key in expected} == expected
    # The listed prefix, and one slash after it, don't count.
    below = assign(parse_partition(partition), "some/prefix", total)
    assert {key: below("some/prefix/" + key) for key in expected} == expected


@pytest.mark.parametrize(
    ("partition", "first", "second"),
    [
        ({"Type": "object"}, ("002.txt", "101.txt"), ("001.txt", "102.txt")),
        (
            {"type": "SUBSTRING", "startIndex": 2, "EndIndex": 3},
            ("001.txt", "101.txt"),
            ("002.txt", "102.txt"),
        ),
        ({"Type": "regex", "Pattern": r"\d0"}, ("101.txt", "102.txt"), ("001.txt", "002.txt")),
    ],
)
def test_a_prefix_is_shared_out_as_upstream(
    partition: Any, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    for index, expected in enumerate((first, second)):
        mine = selector(parse_partition(partition), SET1, 2, index)
        assert tuple(name for name in FILES if mine(SET1 + name)) == expected


def test_a_wildcard_counts_from_its_star() -> None:
    of = assign(parse_partition({"Type": "substring", "StartIndex": 0, "EndIndex": 1}), SET1 + "00", 2)
    assert [of(SET1 + name) for name in FILES[:2]] == [0, 1]


def test_characters_count_not_bytes() -> None:
    of = assign(parse_partition({"Type": "substring", "StartIndex": 1, "EndIndex": 2}), "", 7)
    assert of("éa") == of("xa") == fnv1a("a") % 7
    assert of("é") == 0


def test_dates_are_hashed_as_go_writes_them() -> None:
    of = assign(parse_partition({"Type": "date", "DateFormat": "2006/Jan/02"}), "logs/", 5)
    assert of("logs/2024/DEC/09/x.gz") == of("logs/2024/dec/09.txt") == fnv1a("2024/Dec/09") % 5
    assert of("logs/2024/Foo/09/x") == of("logs/2024") == of("logs/\uff12024/Dec/09") == 0


KINDS = [
    {"Type": "object"},
    {"Type": "regex", "Pattern": r"(\w)(.)?"},
    {"Type": "substring", "StartIndex": 1, "EndIndex": 3},
    {"Type": "date", "DateFormat": "2006"},
]


@given(st.lists(st.text(max_size=12), max_size=30), st.integers(1, 9), st.sampled_from(KINDS))
def test_every_object_goes_to_exactly_one_execution(keys: list[str], total: int, kind: Any) -> None:
    partition = parse_partition(kind)
    parts = [[key for key in keys if selector(partition, "", total, index)(key)] for index in range(total)]
    assert sorted(key for part in parts for key in part) == sorted(keys)


@given(st.text(max_size=12), st.integers(1, 9))
def test_without_partitioning_everybody_gets_everything(key: str, total: int) -> None:
    for given_type in (None, {}, {"Type": "none"}, {"Type": ""}):
        assert all(selector(parse_partition(given_type), "", total, index)(key) for index in range(total))


@pytest.mark.parametrize(
    ("partition", "reason"),
    [
        ("object", "Partition is not a mapping"),
        ({"Type": "round-robin"}, "not one of none, object, regex, substring, date"),
        ({"Type": "regex"}, "Partition.Pattern is empty"),
        ({"Type": "regex", "Pattern": "("}, "Partition.Pattern '(' is not a regular expression: missing )"),
        ({"Type": "regex", "Pattern": "(?=x)"}, "not a regular expression"),
        ({"Type": "regex", "Pattern": "x" * 5000}, "longer than 4096"),
        ({"Type": "substring", "StartIndex": -1, "EndIndex": 2}, "StartIndex is negative"),
        ({"Type": "substring", "StartIndex": 2, "EndIndex": 2}, "EndIndex is not greater"),
        ({"Type": "substring", "StartIndex": 1.5, "EndIndex": 2}, "StartIndex is not a whole number"),
        ({"Type": "substring", "StartIndex": True, "EndIndex": 2}, "StartIndex is not a whole number"),
        ({"Type": "date"}, "DateFormat is empty"),
        ({"Type": "date", "DateFormat": "12"}, "can't be read back"),
        ({"Type": "regex", "Pattern": 7}, "Partition.Pattern is not text"),
    ],
)
def test_a_wrong_partition_is_refused_with_its_member(partition: Any, reason: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_partition(partition)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("total", "index", "reason"), [(0, 0, "greater than 0"), (2, 2, "not between"), (2, -1, "not between")]
)
def test_a_partition_outside_the_count_is_refused(total: int, index: int, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        selector(parse_partition({"Type": "object"}), "", total, index)


def test_a_hostile_pattern_takes_no_more_time_than_the_key_is_long() -> None:
    of = assign(parse_partition({"Type": "regex", "Pattern": "(a+)+$"}), "", 3)
    # A backtracking engine would need longer than the universe has.
    assert of("a" * 1000 + "b") == 0
