"""Paths that a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.auth.policies.files import read_policy
from bacalhau_jupyter.config.authorities import checked_authority
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.settings import audit_dir

MISSING_HOME = "~nobody-of-that-name/x"


def of_audit_log(path: str) -> Path:
    config = Config.from_sources(environ={}, overrides=[f"API.Audit.Directory={path}"])
    return audit_dir(config, Repo("/nonexistent"))


@pytest.mark.parametrize("read", [expanded, read_policy, checked_authority, of_audit_log])
def test_a_home_directory_that_does_not_exist_is_refused_with_one_sentence(
    read: Callable[[str], object],
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{MISSING_HOME} begins with a home directory"):
        read(MISSING_HOME)


def test_a_path_below_home_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x"
