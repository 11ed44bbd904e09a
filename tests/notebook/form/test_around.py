"""What stands around a form's fields: capacity, what the node can read, what a form opens with."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.inputs.uri import parse_input
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import (
    ComputeNodeInfo,
    Membership,
    NodeConnection,
    NodeInfo,
    NodeState,
)
from bacalhau_jupyter.models.wire.api import DataEntry
from bacalhau_jupyter.notebook.form.asking import probe
from bacalhau_jupyter.notebook.form.checking import check
from bacalhau_jupyter.notebook.form.entries import entry_label, input_of, is_input, parent_of
from bacalhau_jupyter.notebook.form.nodes import Offers, offers_of
from bacalhau_jupyter.notebook.form.opening import as_spec, opened
from bacalhau_jupyter.notebook.form.running import WidgetOutput
from bacalhau_jupyter.notebook.form.showing import shown
from bacalhau_jupyter.notebook.form.state import InputRow, blank_job


def node(name: str, cpu: float, *, engines: list[str], connected: bool = True) -> NodeState:
    info = ComputeNodeInfo(
        execution_engines=engines,
        publishers=["local"],
        max_capacity=Resources(cpu=4, memory=8_000_000_000),
        available_capacity=Resources(cpu=cpu, memory=4_000_000_000),
    )
    status = NodeConnection.CONNECTED if connected else NodeConnection.DISCONNECTED
    return NodeState(
        info=NodeInfo(node_id=name, compute_node_info=info),
        membership=Membership.APPROVED,
        connection=status,
    )


def test_what_does_nothing_is_offered_to_nobody_and_stays_where_a_job_has_it() -> None:
    offers = offers_of([node("n-1", 1, engines=["docker", "noop", "process"])])
    assert offers.engines == ["docker", "process"]
    assert "noop" not in offers.runs("python")
    assert "noop" in offers.runs("noop")


@pytest.mark.parametrize(
    ("engines", "runs"),
    [
        (["process"], "python"),
        (["docker", "process"], "python"),
        (["docker"], "python"),
        (["wasm"], "wasm"),
        ([], "python"),
    ],
)
def test_a_form_opens_with_what_runs_on_the_nodes(engines: list[str], runs: str) -> None:
    assert offers_of([node("n-1", 1, engines=engines)]).opens_with() == runs


def test_free_capacity_names_the_nodes_with_most_of_it() -> None:
    offers = offers_of([node(f"n-{cpu}", cpu, engines=["docker"]) for cpu in (1.5, 3, 0, 2, 2.5)])
    assert offers.free("cpu") == "free: 3 of 4 on n-3 · 2.5 of 4 on n-2.5 · 2 of 4 on n-2 · 2 more nodes"
    assert offers.free("memory").startswith("free: 4.0 GB of 8.0 GB on n-")


def test_only_nodes_that_take_jobs_offer_engines() -> None:
    offers = offers_of([node("a", 1, engines=["own"]), node("b", 1, engines=["docker"], connected=False)])
    assert offers.runs("wasm") == ["own", "wasm"]
    assert offers_of([]).free("cpu") == "no node takes jobs now"


def test_without_a_cluster_every_usual_engine_is_offered() -> None:
    offers = Offers(problem="no node runs yet")
    assert offers.runs("docker") == ["python", "sh", "bash", "sql", "docker", "process"]
    assert offers.free("gpu") == "no node runs yet"


ENTRIES = (
    DataEntry(name="a b.csv", uri="file:///data/a%20b.csv", size=5),
    DataEntry(name="x", uri="s3://bucket/50%,{a}'$b/x"),
    DataEntry(name="d", uri="s3://bucket/d/", kind="directory"),
    DataEntry(name="f", uri="ipfs://QmX/f"),
    DataEntry(name="..", uri="ipfs://QmX/.."),
)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.uri)
def test_an_entry_of_the_node_is_an_input_of_the_form(entry: DataEntry) -> None:
    source = parse_input(input_of(entry))
    (row,) = shown(build.docker("a", inputs=[source])).inputs
    _, problems = check(shown(blank_job()).changed(image="a", inputs=(InputRow(input_of(entry)),)))
    assert (row.is_kept, problems) == (False, [])


def test_an_escaped_key_is_the_same_key() -> None:
    assert parse_input(input_of(ENTRIES[1])).source.params["Key"] == "50%,{a}'$b/x"
    assert parse_input(input_of(ENTRIES[0])).target == "/inputs/a_b.csv"


def test_a_place_is_no_input_and_a_hostile_name_is_spelled_out() -> None:
    assert not is_input(DataEntry(uri="s3://"))
    assert entry_label(DataEntry(name="a\u202eb", size=1)) == "a\\u202eb  (1 B)"


@pytest.mark.parametrize(
    ("uri", "above"),
    [
        ("s3://b/a/c/", "s3://b/a/"),
        ("s3://b/", "s3://"),
        ("s3://", ""),
        ("file:///a/b", "file:///a/"),
        ("file:///a", "file:///"),
        ("", ""),
    ],
)
def test_up_leads_to_the_address_above(uri: str, above: str) -> None:
    assert parent_of(uri) == above


def no_client() -> Client:
    raise AssertionError("no job is looked up")


def test_a_form_opens_with_jobs_dicts_and_files(tmp_path: Path) -> None:
    job = build.docker("busybox", "ls", name="x")
    (tmp_path / "job.json").write_text('{"Job": {"Name": "x"}}')
    assert opened(job, no_client) is job
    assert opened({"name": "x"}, no_client).name == "x"
    assert opened(tmp_path / "job.json", no_client).name == "x"
    assert opened(str(tmp_path / "job.json"), no_client).name == "x"
    assert opened(None, no_client) == blank_job()


@pytest.mark.parametrize("spec", [{"Tasks": 3}, 7, "missing.yaml", Path("missing")])
def test_what_is_no_spec_is_refused_with_a_sentence(spec: object) -> None:
    with pytest.raises(BacalhauError):
        opened(spec, no_client)  # type: ignore[arg-type]


def test_a_stored_job_loses_only_what_its_submission_added() -> None:
    written = replace(build.docker("a", name="n"), meta={"mine": "yes"})
    marks = {"bacalhau.org/requester.id": "n", "jupyter.org/cell": "c", "jupyter.org/title": "t"}
    stored = replace(written, id="j-1", version=3, create_time=5, meta={**written.meta, **marks})
    assert as_spec(stored) == written
    assert as_spec(Job(id="j-1", name="j-1")).name == ""


def test_a_probe_has_a_name_and_no_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    rows = (InputRow(str(tmp_path / "a")), InputRow("s3://b/k"))
    job, _ = check(shown(blank_job()).changed(image="a", inputs=rows))
    sent = probe(job, is_code=False)
    assert sent.name.startswith("form-")
    assert [item.source.type for item in sent.task.input_sources] == ["s3"]
    assert probe(replace(job, name="mine"), is_code=True).name == "mine"


class Shown:
    """Stands for an Output widget."""

    outputs: tuple[dict[str, object], ...] = ()


def test_output_is_pushed_at_a_pace_and_joined() -> None:
    widget, now = Shown(), [0.0]
    output = WidgetOutput(widget, lambda: now[0])
    output.write(1, "a")
    output.write(1, "b")
    output.write(2, "c")
    assert [item["text"] for item in widget.outputs] == ["a"]
    now[0] = 1
    output.write(2, "d")
    assert [(item["name"], item["text"]) for item in widget.outputs] == [("stdout", "ab"), ("stderr", "cd")]
    output.display({"text/plain": "1"}, {}, "x", False)
    output.display({"text/plain": "2"}, {}, "x", True)
    assert [item.get("data") for item in widget.outputs] == [None, None, {"text/plain": "2"}]


def test_a_form_without_a_shell_says_so() -> None:
    from bacalhau_jupyter import JobForm

    pytest.importorskip("ipywidgets")
    with pytest.raises(BadRequest, match="the form needs a notebook"):
        JobForm()
