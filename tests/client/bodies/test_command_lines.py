"""Lines of a Python body that are commands."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.client.bodies.runner.shell import without_commands


@pytest.mark.parametrize(
    "line", ["x" + " " * 300_000 + "$", "x" + " \t" * 150_000 + "$", " " * 300_000 + "$"]
)
def test_a_long_line_that_is_no_command_is_told_from_one_without_going_over_it_again_and_again(
    line: str,
) -> None:
    with pytest.raises(SyntaxError):
        compile(without_commands(line, "cell"), "cell", "exec")


def test_a_command_may_have_a_target_with_spaces_in_it() -> None:
    assert without_commands("a, b  =  !echo 1 2", "cell") == "a, b = _bacalhau_capture('echo 1 2')"
