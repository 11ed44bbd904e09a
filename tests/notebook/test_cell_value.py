"""What a cell shows as its value, and what its value is, in a real kernel."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel, Ran

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

FILE = "open('outputs/t.csv', 'w').write('a,b\\n1,2\\n');"


def shown(ran: Ran) -> list[str]:
    """Return the texts of what the job displayed."""
    return [data["text/plain"] for data in ran.displays if MIME not in data]


@pytest.mark.parametrize("cell", ["sh\necho hi", "python\nprint('hi')", "python\nprint('hi')\nx = 1;"])
def test_a_cell_without_a_value_shows_its_card_and_what_it_printed(kernel: Kernel, cell: str) -> None:
    ran = kernel.run(f"%%bacalhau {cell}")
    assert ran.outputs == ["display", "stdout"], ran.traceback
    assert kernel.value("(type(_).__name__, _.exit_code)") == ("JobResult", 0)


def test_a_value_that_was_displayed_is_not_followed_by_the_result(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python\n6 * 7")
    assert shown(ran) == ["42"]
    assert ran.outputs == ["display", "display"]
    assert kernel.value("(type(_).__name__, _.exit_code)") == ("JobResult", 0)


def test_a_result_that_was_not_shown_is_shown_where_it_is_asked_for(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh\ntrue")
    kernel.run("result = _")
    assert "JobResult" in kernel.run("result").result["text/plain"]
    assert "JobResult" in kernel.run("result").result["text/plain"]


def test_code_that_runs_a_cell_gets_its_result_and_shows_it(kernel: Kernel) -> None:
    ran = kernel.run("result = get_ipython().run_cell_magic('bacalhau', 'sh', 'true')\nresult")
    assert "JobResult" in ran.result["text/plain"], ran.traceback


def test_files_are_shown_and_a_table_that_stands_alone_has_no_heading(kernel: Kernel) -> None:
    ran = kernel.run(f"%%bacalhau python\n{FILE}")
    page = ran.result["text/html"]
    assert "<td>1</td>" in page
    assert "t.csv" not in page
    assert ran.result["text/plain"].splitlines()[1:] == ["outputs/t.csv  8 B"]


def test_files_of_a_job_that_displayed_something_are_only_listed(kernel: Kernel) -> None:
    ran = kernel.run(f"%%bacalhau python\n{FILE}\n'seen'")
    assert shown(ran) == ["'seen'"]
    page = ran.result["text/html"]
    assert "t.csv" in page
    assert "<td>1</td>" not in page
    assert "<td>1</td>" in kernel.run("_").result["text/html"]


def test_a_table_has_the_name_that_the_person_gave(kernel: Kernel) -> None:
    pytest.importorskip("duckdb")
    ran = kernel.run("%%bacalhau sql --out v\nselect 1 as a")
    page = ran.result["text/html"]
    assert "<b>v</b>" in page
    assert "result.parquet" not in page
