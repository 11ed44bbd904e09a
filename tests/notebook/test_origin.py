"""What a job notes about the cell that submitted it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.notebook.origin import CELL, SESSION, with_origin


def shell(metadata: Any) -> Any:
    """Return a shell whose kernel runs a request with this metadata."""
    return SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: {"metadata": metadata}))


def test_notebook_and_cell_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ana/work/n.ipynb")
    job = with_origin(process("true", labels={"a": "b"}), shell({"cellId": "9f-1"}))
    assert (job.meta[SESSION], job.meta[CELL]) == ("/home/ana/work/n.ipynb", "9f-1")
    assert job.labels == {"a": "b"}


@pytest.mark.parametrize("metadata", [None, {}, {"cellId": 7}, {"cellId": "x" * 999}, {"cellId": "a\nb"}])
def test_nothing_is_noted_where_nothing_sensible_is_told(
    metadata: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    plain = process("true")
    assert with_origin(plain, shell(metadata)).meta == plain.meta
    assert with_origin(plain, object()).meta == plain.meta
