"""Which modules a call needs: what it imports or refers to, never what a text happens to spell."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.client.bodies.values import by_value
from bacalhau_jupyter.client.inputs.modules import snapshot
from bacalhau_jupyter.client.remote.modules import NeededModules

SECRET = "config_of_test"
HELPER = "helper_of_test"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / f"{SECRET}.py").write_text("PASSWORD = 'x'\nclass Thing: pass\ndef f(): pass\n")
    (tmp_path / f"{HELPER}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in (SECRET, HELPER):
        sys.modules.pop(name, None)


def travels(source: str, folder: Path, *arguments: Any) -> list[str]:
    """Return the modules that travel with a call of ``call``, which belongs to a notebook."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    needed = NeededModules()
    by_value(functools.partial(space["call"], *arguments), "call", needed.see)
    return sorted(snapshot(needed.statements(), [folder]).files)


@pytest.mark.parametrize("argument", [SECRET, f"{SECRET} f", [SECRET], {SECRET: SECRET}, f"{SECRET}.f"])
def test_a_text_that_is_a_modules_name_takes_no_module_along(folder: Path, argument: Any) -> None:
    __import__(SECRET)
    assert travels("def call(name):\n    return name.upper()", folder, argument) == []
    assert (
        travels(f"word = {argument!r}\ndef call(name):\n    return word, {SECRET!r}", folder, argument) == []
    )


@pytest.mark.parametrize(
    "source",
    [
        f"import {SECRET} as c\ndef call():\n    return c.PASSWORD",
        f"def call():\n    import {SECRET}",
        f"def call():\n    def inner():\n        from {SECRET} import f\n    return inner",
        f"from {SECRET} import f\ndef call():\n    return f()",
        f"from {SECRET} import Thing\nthing = Thing()\ndef call():\n    return thing",
        f"from {SECRET} import f as call",
        f"import importlib\ndef call():\n    return importlib.import_module({SECRET!r})",
        f"import {SECRET}\nclass Own:\n    def m(self):\n        return {SECRET}\ndef call():\n    return Own()",
    ],
)
def test_what_a_call_imports_or_refers_to_travels(folder: Path, source: str) -> None:
    assert travels(source, folder) == [f"{SECRET}.py"]


def test_the_class_of_an_argument_takes_its_module_along(folder: Path) -> None:
    thing = __import__(SECRET).Thing()
    assert travels("def call(thing):\n    return 1", folder, thing) == [f"{SECRET}.py"]
