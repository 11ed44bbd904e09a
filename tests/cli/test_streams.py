"""The shell idioms of published examples: IDs caught in variables, closed streams, specs of other editors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import Shell
from tests.cli.test_shell import SPEC
from tests.services.node import ServedNode

PROGRAM = f"{sys.executable} -m bacalhau_jupyter"


@pytest.fixture
def bash(served: ServedNode, tmp_path: Path):
    """Run a line of shell in which ``bj`` is the product."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    env |= {"BACALHAU_DIR": str(served.repo.path)}

    def run(line: str) -> subprocess.CompletedProcess[str]:
        script = f'set -o pipefail; bj() {{ {PROGRAM} "$@"; }}; {line}'
        return subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=env,
            timeout=60,
            check=False,
        )

    return run


def test_id_only_comes_at_once_and_the_verb_ends_when_the_job_has(shell: Shell) -> None:
    began = time.monotonic()
    done = shell("job", "run", "-", "--id-only", stdin=SPEC.replace("echo out;", "sleep 3;"))
    assert time.monotonic() - began >= 3
    assert len(done.stdout.split()) == 1
    assert done.stderr == ""
    assert "Completed" in shell("job", "describe", done.stdout.strip()).stdout


def test_id_only_without_waiting_comes_back_at_once(shell: Shell) -> None:
    done = shell("job", "run", "-", "--id-only", "--no-wait", stdin=SPEC.replace("echo out;", "sleep 60;"))
    job = done.stdout.strip()
    assert "Completed" not in shell("job", "describe", job).stdout
    shell("job", "stop", job)


def test_id_only_of_a_job_that_fails_ends_with_its_reason(shell: Shell) -> None:
    done = shell("job", "run", "-", "--id-only", stdin=SPEC.replace("Command: [sh,", "Command: [no-such-sh,"))
    assert done.stdout.startswith("j-")
    assert done.returncode == 1
    assert "no-such-sh" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("verb", ["job list --limit 1", "node list", "agent version", "--help"])
def test_closed_streams_are_no_reason_to_fail(bash, verb: str, closed: str) -> None:
    done = bash(f"bj {verb} {closed}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_an_error_with_closed_streams_still_gives_its_status(bash) -> None:
    assert bash("bj job describe j-nothing >&- 2>&-").returncode == 1
    assert bash("bj no-such-verb 2>&-").returncode == 2


def test_a_spec_from_a_closed_standard_input_is_reported(bash) -> None:
    done = bash("bj job run - <&-")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: ")


def test_a_reader_that_leaves_early_hears_nothing_of_it(bash) -> None:
    done = bash("bj --help | head -1")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_full_device_is_an_error_in_one_line(bash) -> None:
    done = bash("bj --help > /dev/full")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_wrong_type_in_a_map_names_the_key(shell: Shell, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(SPEC.replace("  Publisher:", "  Env: {A: x, DEBUG: yes, B: y}\n  Publisher:"))
    done = shell("job", "run", "s.yaml")
    assert done.returncode == 1
    assert "Tasks[0].Env[DEBUG]" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_specs_with_a_byte_order_mark_run(shell: Shell, tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding in ("utf-16", "utf-8-sig") else "\N{BYTE ORDER MARK}"
    data = (mark + SPEC.replace("echo out", "echo süß")).encode(encoding)
    (tmp_path / "s.yaml").write_bytes(data)
    done = shell("job", "run", "s.yaml", "--follow")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "süß\n"


def test_a_spec_that_is_not_utf_8_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"Type: \xff\xe9")
    done = shell("job", "run", "s.yaml")
    assert done.returncode == 1
    assert "neither UTF-8 text nor UTF-16 with a byte order mark" in done.stderr
