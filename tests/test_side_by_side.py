"""How tests are dealt out to workers, and that nothing of a run in workers is lost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.side_by_side import DIRECTORIES_IN_PARTS, LONGEST, ONE_BY_ONE, turn_of, unit_of

TESTS = Path(__file__).parent
SHARED = """
import os

def test_one(): print("by", os.getpid())
def test_two(): print("by", os.getpid())
"""


def side_by_side(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a directory in two workers, dealt out as ours are."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    # A run closes the directory of all runs to others, and tests of the run around this one may need it open.
    command += ["--basetemp", str(directory / "temporary"), "-c", "pyproject.toml"]
    command += ["-n", "2", "--max-worker-restart=0", *arguments, str(directory)]
    return subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", [*LONGEST, *ONE_BY_ONE, *DIRECTORIES_IN_PARTS])
def test_what_is_named_exists(name: str) -> None:
    assert (TESTS.parent / name).exists()


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/lib/test_trees.py::test_a[x::y]", "tests/lib/test_trees.py"),
        ("tests/engines/process/test_places.py::test_a", "tests/engines/process/test_places.py::test_a"),
    ],
    ids=["file", "test"],
)
def test_tests_that_share_something_stay_together(nodeid: str, unit: str) -> None:
    assert unit_of(nodeid) == unit


@pytest.mark.parametrize("directory", DIRECTORIES_IN_PARTS)
def test_a_directory_goes_in_parts_of_whole_files_that_are_equally_many(directory: str) -> None:
    files = sorted((TESTS.parent / directory).glob("test_*.py"))
    units = [unit_of(f"{directory}/{path.name}::test_a") for path in files]
    assert [unit_of(f"{directory}/{path.name}::test_b[1]") for path in files] == units
    sizes = [units.count(unit) for unit in set(units)]
    assert len(sizes) == DIRECTORIES_IN_PARTS[directory]
    assert max(sizes) - min(sizes) <= 1


def test_what_takes_longest_starts_first() -> None:
    short = turn_of("tests/models/test_job.py::test_a")
    assert (
        turn_of("tests/browser/test_jobs.py::test_a") < turn_of("tests/notebook/test_data.py::test_a") < short
    )


@pytest.mark.slow
@pytest.mark.timeout(320)
def test_one_worker_runs_all_tests_of_a_file(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"test_{number}.py").write_text(SHARED, encoding="utf-8")
    done = side_by_side(tmp_path, "-v", "-rP")
    assert done.returncode == 0, done.stdout
    workers = re.findall(r"\[(gw\d)\].* PASSED \S*test_(\d)\.py", done.stdout)
    assert len(workers) == 6
    assert len({number for _, number in workers}) == len(set(workers)) == 3


@pytest.mark.slow
@pytest.mark.timeout(320)
def test_a_worker_that_dies_fails_the_run_and_its_test_is_named(tmp_path: Path) -> None:
    # As if all were well.
    (tmp_path / "test_dies.py").write_text("import os\n\ndef test_it(): os._exit(0)\n", encoding="utf-8")
    (tmp_path / "test_lives.py").write_text("def test_it(): pass\n", encoding="utf-8")
    done = side_by_side(tmp_path)
    assert done.returncode != 0
    assert re.search(r"FAILED \S*test_dies.py::test_it", done.stdout), done.stdout
