"""TAB."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.notebook.cell_grammar import cell
from bacalhau_jupyter.notebook.completion import complete

JOBS = ["j-11111111", "j-22222222"]


@pytest.mark.parametrize(
    ("words", "prefix", "expected"),
    [
        ([], "jo", ["job"]),
        (["job"], "st", ["stop"]),
        (["job", "describe"], "j-1", ["j-11111111"]),
        (["job", "list"], "j-", []),
        (["job", "logs"], "--fo", ["--follow"]),
        (["job", "list", "--output"], "", ["table", "json", "yaml", "csv"]),
        (["attach"], "", JOBS),
        (["docker", "run"], "--mem", ["--memory"]),
        (["nonsense"], "x", []),
    ],
)
def test_a_line_completes(words: list[str], prefix: str, expected: list[str]) -> None:
    assert complete(bacalhau, words, prefix, lambda: JOBS) == expected


@pytest.mark.parametrize(
    ("words", "prefix", "expected"),
    [
        ([], "py", ["python"]),
        (["python"], "--ou", ["--out", "--out-as", "--output"]),
        (["sh", "--on-interrupt"], "d", ["detach"]),
    ],
)
def test_a_cell_line_completes(words: list[str], prefix: str, expected: list[str]) -> None:
    assert complete(cell, words, prefix, lambda: JOBS) == expected


def test_job_ids_are_asked_for_only_where_a_job_belongs() -> None:
    def never() -> list[str]:
        raise AssertionError("asked the cluster for a verb")

    assert complete(bacalhau, ["job"], "", never)
