"""The notebook's values in a magic's line: each is one word, whatever it holds."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.notebook.filling import words_of

NAMES: dict[str, Any] = {
    "name": "a b",
    "n": 3,
    "lr": 0.12345,
    "d": {"id": "j-1"},
    "date": "today",
    "minus": "--help",
}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("job describe $name", ["job", "describe", "a b"]),
        ("job describe {name}", ["job", "describe", "a b"]),
        ("--name run-$n-{lr:.2f}", ["--name", "run-3-0.12"]),
        ("-e 'A=$name {n}'", ["-e", "A=$name {n}"]),
        ('-e "A=$name {n}"', ["-e", "A=a b 3"]),
        ('attach {d["id"]}', ["attach", "j-1"]),
        ("attach {d['id']}", ["attach", "j-1"]),
        ("x {{n}} y", ["x", "{n}", "y"]),
        (r"x \$n \{n}", ["x", "$n", "{n}"]),
        ("$HOME ${HOME} ${n} $ $$", ["$HOME", "${HOME}", "${n}", "$", "$$"]),
        (
            "-p s3://b/{jobID}/{date}/{executionID}/{time}",
            ["-p", "s3://b/{jobID}/{date}/{executionID}/{time}"],
        ),
        (r"-i 's3://b/*,opt=filter=\.parquet$'", ["-i", r"s3://b/*,opt=filter=\.parquet$"]),
        ("-- awk {print} {a,b} {}", ["--", "awk", "{print}", "{a,b}", "{}"]),
        ("-- sh -c 'echo {nosuch}'", ["--", "sh", "-c", "echo {nosuch}"]),
        ("{n + 1} {[i for i in range(n)]}", ["4", "[0, 1, 2]"]),
        ("--name $minus", ["--name", "--help"]),
    ],
)
def test_values_are_filled_in_by_ipythons_rules_but_stay_words(line: str, words: list[str]) -> None:
    assert words_of(line, NAMES) == words


@given(value=st.text())
def test_a_hostile_value_stays_one_word(value: str) -> None:
    words = words_of('--name $x -e A={x} -- "{x}" $x', {"x": value})
    assert words == ["--name", value, "-e", f"A={value}", "--", value, value]


@given(line=st.text(alphabet="ab \\\"'\\\\=-/", max_size=30))
def test_a_line_without_values_is_split_as_a_shell_does(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(BadRequest):
            words_of(line, NAMES)
    else:
        assert words_of(line, NAMES) == expected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("attach {nosuch}", "{nosuch} can't be filled in: NameError"),
        ("attach {1/0 if n else n}", "ZeroDivisionError"),
        ("job describe $minus", "would be read as a flag"),
        ("docker run --name=x $minus", "would be read as a flag"),
        ("docker run -p80 $minus", "would be read as a flag"),
        ("docker run -e $minus $minus", "would be read as a flag"),
        ("docker run -e {minus[:1] * 2} busybox $minus", "would be read as a flag"),
        ("attach 'open", "the line can't be read"),
    ],
)
def test_what_can_not_be_filled_in_is_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        words_of(line, NAMES)
    assert sentence in caught.value.message


def test_what_follows_a_flag_without_a_value_is_no_value() -> None:
    assert words_of("job logs --lines $minus", NAMES, {"--detach"})
    with pytest.raises(BadRequest, match="would be read as a flag"):
        words_of("docker run --detach $minus", NAMES, {"--detach"})
