"""What a job notes about the cell that submitted it, and where."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submission, Submissions, hidden_name
from bacalhau_jupyter.notebook.origin import CELL, SESSION, CellOrigin
from tests.clock import ManualClock

NOTEBOOK = "/home/ana/work/n.ipynb"


def shell(metadata: Any) -> Any:
    """Return a shell whose kernel runs a request with this metadata."""
    parent = {"metadata": metadata, "header": {"msg_id": "m-1"}}
    application = SimpleNamespace(connection_file="/run/user/0/jupyter/kernel-5d-7.json")
    return SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: parent, parent=application))


def submitted(job_id: str) -> Any:
    """Return the handle of a job."""
    return SimpleNamespace(id=job_id, client=SimpleNamespace(endpoint=SimpleNamespace(url="http://a:1")))


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A repo directory, in a kernel of a notebook."""
    monkeypatch.setenv("JPY_SESSION_NAME", NOTEBOOK)
    return Repo(tmp_path / "repo")


def test_the_cluster_gets_a_name_of_the_notebook_that_says_nothing(repo: Repo) -> None:
    job = CellOrigin(shell({"cellId": "9f-1"}), repo).on(process("true", labels={"a": "b"}))
    assert job.meta[CELL] == "9f-1"
    assert job.meta[SESSION] == hidden_name(repo.origin_key(), NOTEBOOK)
    assert "ana" not in str(job.meta)
    assert job.labels == {"a": "b"}


def test_another_user_gives_the_same_notebook_another_name(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    assert hidden_name(repo.origin_key(), NOTEBOOK) != hidden_name(other.origin_key(), NOTEBOOK)
    assert hidden_name(repo.origin_key(), NOTEBOOK) == hidden_name(Repo(repo.path).origin_key(), NOTEBOOK)


def test_the_record_holds_everything_and_only_for_its_owner(repo: Repo) -> None:
    CellOrigin(shell({"cellId": "9f-1"}), repo, ManualClock(7)).note(submitted("j-1"))
    assert Submissions(repo).every() == [
        Submission(
            job_id="j-1",
            endpoint="http://a:1",
            notebook=NOTEBOOK,
            cell="9f-1",
            run="m-1",
            kernel="5d-7",
            time_ns=7,
        ),
    ]
    assert (repo.path / "submissions.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_record_that_can_not_be_written_costs_no_job(repo: Repo) -> None:
    repo.path.write_text("a file where the directory should be")
    origin = CellOrigin(shell({"cellId": "9f-1"}), repo)
    origin.note(submitted("j-1"))
    assert SESSION not in origin.on(process("true")).meta


@pytest.mark.parametrize("metadata", [None, {}, {"cellId": 7}, {"cellId": "x" * 999}, {"cellId": "a\nb"}])
def test_nothing_is_noted_where_nothing_sensible_is_told(
    metadata: Any, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME")
    plain = process("true")
    assert CellOrigin(shell(metadata), repo).on(plain).meta == plain.meta
    assert CellOrigin(object(), repo).on(plain).meta == plain.meta
    CellOrigin(shell(metadata), repo).note(submitted("j-1"))
    assert Submissions(repo).every() == []


@pytest.mark.parametrize("name", ["console-1", "/x/notes.txt", "/x/a\nb.ipynb", "/" + "x" * 5000 + ".ipynb"])
def test_what_is_not_a_notebook_is_not_noted(name: str, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", name)
    CellOrigin(shell({"cellId": "9f-1"}), repo).note(submitted("j-1"))
    assert Submissions(repo).every() == []
