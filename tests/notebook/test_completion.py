"""TAB: what follows, with words; the cluster is asked only where it knows, and never long."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.grammar import bacalhau, lookups
from bacalhau_jupyter.models.jobs.job import Job, JobState, JobStateType
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.models.wire.api import DataEntry, ListDataResponse, ListJobsResponse, ListNodesResponse
from bacalhau_jupyter.notebook.cell_grammar import cell
from bacalhau_jupyter.notebook.completion import complete, typed, variable_words


class Cluster:
    """Stands for a connected client whose cluster answers at once, or never."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self.is_silent = is_silent
        self.is_over = threading.Event()
        self.has_answered = False
        self.asked: list[str] = []
        self.contexts: list[str | None] = []
        self.portal = self

    def peek(self, context: str | None = None) -> Any:
        self.contexts.append(context)
        if self.is_silent:
            self.is_over.wait(60)
        self.has_answered = True
        return self

    def api(self) -> Any:
        return self

    def run(self, work: Any) -> Any:
        import asyncio

        return asyncio.run(work)

    async def list_jobs(self, **values: object) -> ListJobsResponse:
        self.asked.append("jobs")
        tasks = [Task(name="main", engine=SpecConfig(type="docker", params={"Image": "busybox:1"}))]
        state = JobState(state_type=JobStateType.RUNNING)
        first = Job(
            id="j-11111111-1111-4111-8111-111111111111",
            name="train",
            namespace="lab",
            state=state,
            tasks=tasks,
        )
        second = Job(
            id="j-22222222-2222-4222-8222-222222222222",
            name="j-22222222-2222-4222-8222-222222222222",
            state=state,
        )
        return ListJobsResponse(items=[first, second])

    async def nodes(self) -> ListNodesResponse:
        self.asked.append("nodes")
        return ListNodesResponse(nodes=[])

    async def data(self, uri: str, limit: int) -> ListDataResponse:
        self.asked.append(uri)
        return ListDataResponse(
            entries=[
                DataEntry(name="a%b", uri="s3://b/k/a%b", kind="file", size=3200),
                DataEntry(name="a;b", uri="s3://b/k/a;touch x", kind="file", size=1),
                DataEntry(name="a\nb", uri="s3://b/k/a\nb", kind="file", size=1),
                DataEntry(name="dir", uri="s3://b/k/dir", kind="directory"),
            ]
        )

    def variables(self) -> dict[str, str]:
        return {"frame": "DataFrame 3 × 2", "n": "int"}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an answer, and keep it, however busy the machine is."""
    monkeypatch.setattr(lookups, "ANSWER_S", 60.0)
    monkeypatch.setattr(lookups, "_FRESH_S", 60.0)


def offered(root: Any, line: str, session: Any = None) -> dict[str, str]:
    """Return what TAB at the end of a line offers: text → words."""
    return {offer.text: offer.words for offer in complete(root, typed(line), session or Cluster())}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jo", ["job"]),
        ("job st", ["stop"]),
        ("job describe j-1", ["j-11111111"]),
        ("job list j-", []),
        ("job logs --fo", ["--follow"]),
        ("job list --output ", ["table", "json", "yaml", "csv"]),
        ("job list --output=js", ["json"]),
        ("attach ", ["j-11111111", "j-22222222"]),
        ("docker run --mem", ["--memory"]),
        ("docker run bu", ["busybox:1"]),
        ("docker run --network h", ["host", "http"]),
        ("docker run --namespace l", ["lab"]),
        ("docker run -p ", ["local", "s3://", "s3managed", "ipfs"]),
        ("docker run -i job:j-1", ["job:j-11111111"]),
        ("docker run -i s3://b/k/", ["s3://b/k/a%25b", "s3://b/k/dir/"]),
        ("docker run -i s3://b/k/d", ["s3://b/k/dir/"]),
        ("help jo", ["job"]),
        ("help job lo", ["logs"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("nonsense x", []),
        ("", sorted({*bacalhau.commands, "serve", "demo", "devstack"})),
    ],
)
def test_a_line_completes(line: str, expected: list[str]) -> None:
    assert list(offered(bacalhau, line)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("py", ["python"]),
        ("python --ou", ["--output", "--out", "--out-as"]),
        ("sh --on-interrupt d", ["detach"]),
        ("python --engine ", ["docker", "process", "wasm"]),
        ("wa", ["wasm"]),
        ("wasm --entry", ["--entry-point"]),
        ("python --in fr", ["frame"]),
        ("--in ", ["frame", "n"]),
        ("docker b", ["busybox:1"]),
    ],
)
def test_a_cell_line_completes(line: str, expected: list[str]) -> None:
    assert sorted(offered(cell, line)) == sorted(expected)


def test_verbs_flags_jobs_and_variables_come_with_words() -> None:
    assert offered(bacalhau, "job li") == {"list": "List jobs."}
    assert offered(bacalhau, "job list --lim") == {"--limit": "Largest number of rows."}
    assert offered(bacalhau, "job logs j-") == {"j-11111111": "train · Running", "j-22222222": "Running"}
    assert offered(cell, "python --in f") == {"frame": "DataFrame 3 × 2"}
    assert offered(bacalhau, "docker run -i s3://b/k/a") == {"s3://b/k/a%25b": "3.2 kB"}


def test_where_nothing_else_can_follow_the_flags_do() -> None:
    assert "--limit" in offered(bacalhau, "job list ")
    assert offered(bacalhau, "job list --limit ") == {}


def test_files_complete_where_a_file_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales data.csv").write_text("x" * 3200)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "job.yaml").write_text("")
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "sa\nd").write_text("")
    assert offered(bacalhau, "docker run -i sa") == {"'sales data.csv'": "3.2 kB"}
    assert offered(bacalhau, "docker run -i 'sa") == {"sales data.csv": "3.2 kB"}
    assert offered(bacalhau, "job run ") == {"'sales data.csv'": "3.2 kB", "sub/": "directory"}
    assert offered(bacalhau, "job run sub/") == {"sub/job.yaml": "0 B"}
    assert offered(bacalhau, "job run no/such/") == {}
    assert complete(bacalhau, typed("docker run -i 'sal"), None)[0].start == len("docker run -i '")


class Notebook(Cluster):
    """A session that quotes words."""

    quotes_words = True


def test_a_hostile_name_is_quoted_in_a_notebook_and_left_out_in_a_shell() -> None:
    line = "docker run -i s3://b/k/a"
    assert list(offered(bacalhau, line, Notebook())) == ["s3://b/k/a%25b", "'s3://b/k/a;touch x'"]
    assert list(offered(bacalhau, line, Cluster())) == ["s3://b/k/a%25b"]


def test_the_connection_that_the_line_names_is_asked() -> None:
    for line in ("python --context prod -i s3://b/", "python --context=prod -i s3://b/"):
        cluster = Cluster()
        offered(cell, line, cluster)
        assert cluster.contexts == ["prod"]


def test_parameters_of_a_notebook_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = "year: int = 2026\nregion = 'north'\nprint(year)"
    code = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    (tmp_path / "report.ipynb").write_text(json.dumps({"cells": [code], "metadata": {}, "nbformat": 4}))
    assert offered(bacalhau, "run-notebook report.ipynb -p ") == {
        "year=": "now 2026",
        "region=": "now 'north'",
    }
    assert list(offered(bacalhau, "run-notebook report.ipynb -p r")) == ["region="]
    assert offered(bacalhau, "run-notebook nosuch.ipynb -p ") == {}


def test_the_cluster_is_asked_only_where_it_knows() -> None:
    cluster = Cluster()
    offered(bacalhau, "job ", cluster)
    offered(bacalhau, "job list --", cluster)
    assert cluster.asked == []
    offered(bacalhau, "attach ", cluster)
    offered(bacalhau, "attach j", cluster)
    assert cluster.asked == ["jobs"], "an answer is kept for a moment"


def test_a_cluster_that_does_not_answer_offers_nothing_and_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(is_silent=True)
    monkeypatch.setattr(lookups, "ANSWER_S", 0.2)
    assert offered(bacalhau, "job describe j", cluster) == {}
    assert not cluster.has_answered
    cluster.is_over.set()


class Odd:
    """A variable whose attributes raise."""

    @property
    def shape(self) -> Any:
        raise RuntimeError("no shape today")


def test_a_variable_is_said_by_type_and_size() -> None:
    assert variable_words([1, 2]) == "list of 2"
    assert variable_words(1) == "int"
    assert variable_words(Odd()) == "Odd"
