"""Lines of a body that are no Python: ``!command``, ``name = !command`` and ``%matplotlib``."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_COMMAND = re.compile(r"(\s*)(?:([^\s=!%](?:[^=!%]*[^\s=!%])?)\s*=\s*)?(!{1,2}|%)\s*(.*)", re.DOTALL)
_RUN, _CAPTURE = "_bacalhau_run", "_bacalhau_capture"
_MOST = 10_000


def without_commands(text: str, file: str) -> str:
    """Return the body with its command lines as calls, each on the line where it stood.

    Python itself says which lines are commands: those at which it finds an error and that start like one. So a
    ``!`` inside a text is left alone.

    Raises
    ------
    SyntaxError
        The body is wrong in another way, or has a magic that a job does not know.
    """
    lines = text.split("\n")
    for _ in range(_MOST):
        error = _error_in("\n".join(lines), file)
        if error is None:
            break
        # Not where it is caught: the error of a magic would be shown as one that followed from it.
        number = (error.lineno or 0) - 1
        if not 0 <= number < len(lines) or not _replace(lines, number, file):
            raise error
    return "\n".join(lines)


def _error_in(text: str, file: str) -> SyntaxError | None:
    try:
        # Only parsed; the caller compiles it.
        compile(text, file, "exec", 0x400 | 0x2000, dont_inherit=True)
    except SyntaxError as error:
        return error
    return None


def _replace(lines: list[str], number: int, file: str) -> bool:
    line = _COMMAND.match(lines[number])
    if line is None:
        return False
    indent, target, mark, command = line.groups()
    if mark == "%":
        return _replace_magic(lines, number, indent, command, file)
    last = number
    while command.endswith("\\") and last + 1 < len(lines):
        last += 1
        command = command[:-1] + lines[last]
        lines[last] = ""
    call = f"{_RUN if target is None and mark == '!' else _CAPTURE}({command.rstrip()!r})"
    lines[number] = f"{indent}{call}" if target is None else f"{indent}{target} = {call}"
    return True


def _replace_magic(lines: list[str], number: int, indent: str, command: str, file: str) -> bool:
    name = command.split(None, 1)[0] if command.strip() else ""
    if not name.isidentifier():
        return False
    if name != "matplotlib":
        problem = f"%{name} is a magic of IPython, which a job does not have"
        raise SyntaxError(problem, (file, number + 1, len(indent) + 1, lines[number]))
    # Figures are shown in the notebook anyway.
    lines[number] = f"{indent}pass"
    return True


class Lines(list):  # type: ignore[type-arg]
    """Lines that a command printed; as in IPython, ``.n`` and ``.s`` are their text."""

    @property
    def n(self) -> str:
        """Joined by line feeds."""
        return "\n".join(self)

    @property
    def s(self) -> str:
        """Joined by spaces."""
        return " ".join(self)


def functions(namespace: dict[str, Any]) -> dict[str, Callable[[str], Any]]:
    """Return what the calls call; both note the command's status as ``_exit_code``."""

    def run(command: str) -> None:
        import subprocess
        import sys

        sys.stdout.flush()
        namespace["_exit_code"] = subprocess.call(command, shell=True)

    def capture(command: str) -> Lines:
        import subprocess

        done = subprocess.run(
            command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        namespace["_exit_code"] = done.returncode
        return Lines(done.stdout.decode("utf-8", "replace").splitlines())

    return {_RUN: run, _CAPTURE: capture}
