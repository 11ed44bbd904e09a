"""Words for true and false."""

import pytest

from bacalhau_jupyter.lib.truth import parse_truth


@pytest.mark.parametrize("value", [True, "1", "t", "T", "true", "TRUE", " True ", 1])
def test_words_for_true(value: object) -> None:
    assert parse_truth(value) is True


@pytest.mark.parametrize("value", [False, "0", "f", "F", "false", "FALSE", 0])
def test_words_for_false(value: object) -> None:
    assert parse_truth(value) is False


@pytest.mark.parametrize("value", ["", None, "yes", "no", "10", 2, [], {}])
def test_anything_else_is_neither(value: object) -> None:
    assert parse_truth(value) is None
