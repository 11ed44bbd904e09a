"""Which jobs go back into which cell: only those that this user's own record names, for this notebook alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from jupyter_server.auth import Authorizer

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submission, Submissions
from bacalhau_jupyter.server.jobs.submissions import SLACK_NS, in_notebook
from tests.server.conftest import Jupyter, Starter

N = "/root/n.ipynb"
SAVED_NS = 100_000_000_000


def submission(job: str, **members: Any) -> Submission:
    """Return a submission of cell ``c`` of the notebook `N`, one second after it was saved."""
    usual = {"notebook": N, "cell": "c", "run": f"run-{job}", "kernel": "k", "time_ns": SAVED_NS + 10**9}
    return Submission(job, **{**usual, **members})


def jobs(*submissions: Submission, sessions: dict[str, bool] | None = None, notebook: str = N) -> list[str]:
    """Return the jobs that go into a notebook."""
    return [one.job_id for one in in_notebook(submissions, notebook, sessions or {}, SAVED_NS)]


def test_a_job_goes_into_the_cell_that_submitted_it() -> None:
    assert jobs(submission("a"), submission("b", cell="d")) == ["a", "b"]


def test_a_cell_that_was_run_again_gets_the_jobs_of_its_last_run_only() -> None:
    first = submission("a")
    loop = [submission("b", run="second"), submission("c", run="second")]
    assert jobs(first, *loop) == ["b", "c"]


def test_what_was_there_when_the_notebook_was_saved_is_not_put_back() -> None:
    assert jobs(submission("a", time_ns=SAVED_NS - 2 * SLACK_NS)) == []
    # The save began before the cell's output came.
    assert jobs(submission("a", time_ns=SAVED_NS - SLACK_NS // 2)) == ["a"]


def test_a_notebook_without_cell_ids_gets_nothing() -> None:
    assert jobs(submission("a", cell="")) == []


def test_a_copy_with_the_same_cell_ids_gets_nothing() -> None:
    assert jobs(submission("a"), notebook="/root/copy.ipynb") == []
    # A copy that took the old name of a notebook which was renamed, and whose kernel goes on.
    assert jobs(submission("a"), sessions={"k": False}) == []


def test_a_renamed_notebook_is_known_by_its_running_kernel() -> None:
    assert jobs(submission("a", notebook="/root/old.ipynb"), sessions={"k": True}) == ["a"]
    assert jobs(submission("a", notebook="/root/old.ipynb")) == []


def test_contents_that_lie_on_no_disk_are_known_by_their_kernel_only() -> None:
    assert jobs(submission("a", notebook=""), notebook="") == []
    assert jobs(submission("a", notebook="n.ipynb"), notebook="", sessions={"k": True}) == ["a"]


@pytest.fixture
def record(jp_root_dir: Path, clean_environment: Path) -> Submissions:
    """The record, with one job of ``folder/ä.ipynb``; the notebook was saved long before."""
    folder = jp_root_dir / "folder"
    folder.mkdir()
    for name in ("ä.ipynb", "copy.ipynb"):
        (folder / name).write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4}))
        os.utime(folder / name, ns=(SAVED_NS, SAVED_NS))
    submissions = Submissions(Repo(clean_environment))
    submissions.add(
        submission("j-1", notebook=str(folder / "ä.ipynb"), endpoint="http://a:1", title="ä.ipynb [3]")
    )
    return submissions


async def asked(jupyter: Jupyter, query: str) -> tuple[int, Any]:
    async with jupyter.get(f"/submissions?{query}") as answer:
        return answer.status, await answer.json()


async def test_the_front_end_asks_by_notebook(record: Submissions, jupyter: Jupyter) -> None:
    job = {"job_id": "j-1", "endpoint": "http://a:1", "cell": "c", "title": "ä.ipynb [3]"}
    expected = {"submissions": [job]}
    assert await asked(jupyter, f"path={quote('folder/ä.ipynb')}") == (200, expected)
    assert await asked(jupyter, "path=folder/copy.ipynb") == (200, {"submissions": []})


async def test_the_panel_asks_by_job(record: Submissions, jupyter: Jupyter) -> None:
    record.add(submission("j-2", notebook="/elsewhere/n.ipynb"))
    assert await asked(jupyter, "job=j-1") == (200, {"notebook": "folder/ä.ipynb", "cell": "c"})
    assert await asked(jupyter, "job=j-2") == (200, {"notebook": "/elsewhere/n.ipynb", "cell": "c"})
    status, answer = await asked(jupyter, "job=j-of-somebody-else")
    assert (status, "no cell of this user" in answer["Message"]) == (404, True)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "path=a.ipynb&job=j-1",
        "path=../a.ipynb",
        "path=/etc/a.ipynb",
        "path=a.txt",
        "path=folder//a.ipynb",
        "path=a%00.ipynb",
        "path=nowhere.ipynb",
        "path=.hidden/a.ipynb",
    ],
)
async def test_bad_questions_are_refused_in_one_sentence(
    record: Submissions, jupyter: Jupyter, query: str
) -> None:
    status, answer = await asked(jupyter, query)
    assert status in (400, 404)
    assert answer["Message"]


async def test_who_may_not_read_files_is_refused(record: Submissions, start_jupyter: Starter) -> None:
    class NoFiles(Authorizer):
        def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
            return resource == "bacalhau"

    jupyter = await start_jupyter(BacalhauApp={"autostart": False}, ServerApp={"authorizer_class": NoFiles})
    status, answer = await asked(jupyter, "job=j-1")
    assert status == 403
    assert "may not read files" in answer["Message"]


async def test_without_a_token_nothing_is_said(record: Submissions, jupyter: Jupyter) -> None:
    async with jupyter.request("GET", "/submissions?job=j-1", auth=False, allow_redirects=False) as answer:
        assert answer.status in (302, 403)
        assert "folder" not in await answer.text()


async def test_a_record_that_can_not_be_read_is_an_error_in_one_sentence(
    record: Submissions, jupyter: Jupyter, clean_environment: Path
) -> None:
    file = clean_environment / "submissions.jsonl"
    file.unlink()
    file.mkdir()
    status, answer = await asked(jupyter, "job=j-1")
    assert status == 500
    assert "can't read" in answer["Message"]
