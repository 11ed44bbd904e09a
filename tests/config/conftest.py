"""A repo directory of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.config.repo import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Return a fresh repo."""
    return Repo.open(tmp_path / "repo", environ={})
