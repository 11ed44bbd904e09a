"""Where the program nats-server is looked for."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.server.child import check_configuration
from bacalhau_jupyter.transport.server.program import PACKAGE, find_program


def program_at(directory: Path, mode: int = 0o755) -> Path:
    path = directory / "nats-server"
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)


def test_the_variable_decides(tmp_path: Path) -> None:
    path = program_at(tmp_path)
    assert find_program({"NATS_SERVER": str(path), "PATH": "/nowhere"}) == path


def test_a_variable_that_names_no_program_is_told_and_nothing_else_is_taken(tmp_path: Path) -> None:
    path = program_at(tmp_path, mode=0o644)
    with pytest.raises(ConfigurationError, match=f"NATS_SERVER names {path}"):
        find_program({"NATS_SERVER": str(path)})


def test_the_program_of_the_package_needs_no_search_path() -> None:
    try:
        importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    assert find_program({"PATH": ""}).stem == "nats-server"


def test_without_the_package_the_search_path_is_looked_at(no_package: None, tmp_path: Path) -> None:
    path = program_at(tmp_path)
    assert find_program({"PATH": str(tmp_path)}) == path


def test_a_missing_program_is_told_with_what_installs_it(no_package: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nats-server, over which .* is not installed") as caught:
        find_program({"PATH": str(tmp_path)})
    assert 'pip install "bacalhau-jupyter[cluster]"' in caught.value.hint


async def test_a_file_that_the_system_can_not_run_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "nats-server"
    path.write_bytes(b"\x7fELF, and nothing more")
    path.chmod(0o755)
    with pytest.raises(ConfigurationError, match=f"{path} can't be started: Exec format error"):
        await check_configuration(path, tmp_path / "nats-server.conf")
