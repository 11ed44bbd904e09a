"""A config file with secrets that other users can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.node.roles.exposed import warnings

WITH_KEY = """
API: {Auth: {Users: [{Alias: ci, APIKey: "01234567890123456789", Capabilities: [{Actions: ["*"]}]}]}}
Orchestrator: {Auth: {Token: secret}}
"""


@pytest.mark.parametrize(
    ("content", "mode", "names"),
    [
        (WITH_KEY, 0o644, "API.Auth.Users, Orchestrator.Auth.Token"),
        (WITH_KEY, 0o640, "API.Auth.Users, Orchestrator.Auth.Token"),
        (WITH_KEY, 0o600, ""),
        ("API: {Port: 1}", 0o644, ""),
    ],
)
def test_a_file_with_secrets_that_others_can_read_is_named(
    tmp_path: Path, content: str, mode: int, names: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    file.chmod(mode)
    config = Config.from_sources(environ={}, flags={"DataDir": str(tmp_path)})
    expected = [f"other users can read {file}, which holds {names}: chmod 600 {file}"] if names else []
    assert warnings(config) == expected
    # What was not read from the file is not in it.
    variables = {"BACALHAU_ORCHESTRATOR_AUTH_TOKEN": "other"}
    config = Config.from_sources(environ=variables, flags={"DataDir": str(tmp_path)})
    assert "Orchestrator.Auth.Token" not in "".join(warnings(config))
