"""The systemd unit: systemd accepts it, and what it starts exists."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from bacalhau_jupyter.cli.serve import serve
from tests.deploy.conftest import DEPLOY

UNIT = DEPLOY / "bacalhau-jupyter.service"


def read() -> ConfigParser:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text(encoding="utf-8"))
    return unit


def test_the_unit_starts_a_command_that_exists_with_flags_that_exist() -> None:
    program, verb, *flags = shlex.split(read()["Service"]["ExecStart"])
    known = {name for option in serve.params for name in option.opts}
    assert Path(program).name == "bacalhau-jupyter"
    assert verb == serve.name
    assert set(flags) <= known


def test_jobs_are_not_ended_with_the_node() -> None:
    service = read()["Service"]
    assert service["KillMode"] == "process"
    assert service["StateDirectoryMode"] == "0700"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "bacalhau-jupyter"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    text = UNIT.read_text(encoding="utf-8")
    copy = tmp_path / UNIT.name
    copy.write_text(
        text.replace("/opt/bacalhau-jupyter/bin/bacalhau-jupyter", str(program)), encoding="utf-8"
    )
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # Units of the machine itself may have faults that are not ours.
    assert [line for line in done.stderr.splitlines() if UNIT.name in line] == []
    assert str(program) in copy.read_text(encoding="utf-8")
