"""``--cache`` in a real kernel, on a real node."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel, Ran
from tests.services.waiting import found

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


def job_of(ran: Ran, kernel: Kernel) -> str:
    assert ran.status == "ok", ran.traceback
    return kernel.value("_.job.id")


def test_an_identical_finished_job_answers_with_its_values_and_says_so(kernel: Kernel) -> None:
    cell = "%%bacalhau python --cache --in base --out made\nimport uuid\nprint('ran')\nmade = [base, uuid.uuid4().hex]"
    kernel.run("base = 1")
    first = kernel.run(cell)
    job = job_of(first, kernel)
    made = kernel.value("made")
    kernel.run("made = None")
    again = kernel.run(cell)
    assert job_of(again, kernel) == job
    assert kernel.value("made") == made
    assert again.stdout == "ran\n"
    assert again.stderr == ""
    card = again.displays[-1]
    title, words, *_ = card["text/plain"].split(" · ")
    assert title == "print('ran')"
    took = re.fullmatch(rf"from the cache: job {job[:10]}, run [0-9.]+ s ago, took ([0-9.]+) s", words)
    assert took is not None, words
    assert float(took[1]) > 0.0
    assert (card[MIME]["title"], card[MIME]["cached"]) == (title, words)
    # The job's own time, not that of looking it up.
    assert card[MIME]["duration_s"] == first.displays[-1][MIME]["duration_s"] > 0
    assert card["text/plain"].count(job[:10]) == 1
    kernel.run("base = 2")
    assert job_of(kernel.run(cell), kernel) != job


def test_the_card_of_a_cached_cell_names_its_own_cell_and_the_old_one_beside_the_job(kernel: Kernel) -> None:
    kernel.run("import os; os.environ['JPY_SESSION_NAME'] = '/home/me/quick.ipynb'")
    cell = "%%bacalhau sh --cache\necho cached"
    first = kernel.run(cell).displays[-1]["text/plain"].split(" · ")[0]
    again = kernel.run(cell).displays[-1]
    kernel.run("del os.environ['JPY_SESSION_NAME']")
    title, words, *_ = again["text/plain"].split(" · ")
    assert title != first
    assert (title, first) == (again[MIME]["title"], f"quick.ipynb [{int(title.split('[')[1][:-1]) - 1}]")
    assert f"({first}), run " in words


def test_a_detached_cell_says_in_one_plain_line_which_job_answers(kernel: Kernel) -> None:
    first = job_of(kernel.run("%%bacalhau sh --cache\necho plain"), kernel)
    again = kernel.run("%%bacalhau sh --cache --detach\necho plain")
    assert again.stdout.startswith(f"from the cache: job {first[:10]}, run ")
    assert again.stderr == ""


def test_no_cache_runs_the_job_anew_for_later_ones(kernel: Kernel) -> None:
    first = job_of(kernel.run("%%bacalhau sh --cache\necho 1"), kernel)
    fresh = job_of(kernel.run("%%bacalhau sh --no-cache\necho 1"), kernel)
    assert fresh != first
    assert job_of(kernel.run("%%bacalhau sh --cache\necho 1"), kernel) == fresh
    assert job_of(kernel.run("%%bacalhau sh\necho 1"), kernel) not in (first, fresh)


def test_a_job_that_failed_answers_for_nobody(kernel: Kernel) -> None:
    cell = "%%bacalhau sh --cache --no-check\necho fails; exit 3"
    first = job_of(kernel.run(cell), kernel)
    assert job_of(kernel.run(cell), kernel) != first


def test_a_file_that_changed_makes_another_job(kernel: Kernel) -> None:
    cell = "%%bacalhau sh --cache -i cached.txt\ncat inputs/cached.txt"
    kernel.run("from pathlib import Path\nPath('cached.txt').write_text('1' * 60_000)")
    first = job_of(kernel.run(cell), kernel)
    assert job_of(kernel.run(cell), kernel) == first
    kernel.run("Path('cached.txt').write_text('2' * 60_000)")
    assert job_of(kernel.run(cell), kernel) != first


def test_a_job_whose_results_are_gone_answers_for_nobody(kernel: Kernel) -> None:
    cell = "%%bacalhau sh --cache\necho kept > outputs/kept.txt"
    first = job_of(kernel.run(cell), kernel)
    assert job_of(kernel.run(cell), kernel) == first
    execution = kernel.value("_.executions[0].id")
    found_archives = [
        path for path in found(Path(kernel.repo.path), f"*{execution}*") if "results" in str(path)
    ]
    assert found_archives
    for path in found_archives:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    assert job_of(kernel.run(cell), kernel) != first


def test_an_input_that_says_nothing_of_its_content_is_named_and_the_job_runs(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --cache -i http://127.0.0.1:9/x --timeout 5\ntrue")
    assert "the job runs without the cache: nothing says whether the input http://127.0.0.1:9/x" in ran.stderr


def test_a_sweep_runs_only_what_is_new(kernel: Kernel) -> None:
    cell = "%%bacalhau python --cache --sweep n={} --out v\nimport uuid\nv = uuid.uuid4().hex"
    kernel.run(cell.format("1,2"))
    first = kernel.value("v")
    ran = kernel.run(cell.format("1,2,3"))
    assert ran.stderr == ""
    assert (
        ran.displays[-1]["text/plain"].partition("\n")[0]
        == "3 of 3 combinations done, 2 of them from the cache"
    )
    assert kernel.value("v")[:2] == first
