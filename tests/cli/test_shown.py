"""How specs are shown: files by name, the code of a cell, masked values; and hostile archives."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from bacalhau_jupyter.client.inputs.inline import inline_files
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.client.jobs.titles import TITLE
from bacalhau_jupyter.grammar.output import Details, Show, Table
from bacalhau_jupyter.grammar.shown import code_of, diff_for_people, for_people, inputs_of
from bacalhau_jupyter.grammar.specs import described
from bacalhau_jupyter.grammar.views import history_table, job_record, jobs_table
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, Port, SpecConfig, replace
from bacalhau_jupyter.models.records.execution import ComputeState, Execution, ExecutionStateType
from bacalhau_jupyter.models.records.history import Event, JobHistory
from bacalhau_jupyter.transfer.archive.data_urls import encode_data_url

BODY = "import os\n\nprint(os.environ)"


def cell_job(**files: bytes) -> Job:
    """Return a job that carries a cell's kit."""
    named = {name.replace("__", "."): data for name, data in files.items()}
    kit = inline_files(
        {"job_runner.py": b"run", "cell.py": b"\n" + BODY.encode() + b"\n", **named}, "/.bacalhau"
    )
    return docker("python", ["x"], inputs=[kit], env={"API_TOKEN": "hunter2", "LR": "0.1"})


def inline_job(url: str) -> dict[str, Any]:
    """Return the spec of a job with one inline input."""
    source = InputSource(
        source=SpecConfig(type="inline", params={"URL": url}), alias="x", target="/.bacalhau"
    )
    plain: dict[str, Any] = to_plain(docker("busybox", inputs=[source]))
    return plain


def test_a_spec_shows_the_code_of_the_cell_as_a_block() -> None:
    text = described(cell_job()).text()
    assert "cell.py: |" in text
    assert "print(os.environ)\n" in text + "\n"
    assert "job_runner" not in text
    assert "base64" not in text
    assert "hunter2" not in text


def test_a_described_job_has_its_code_its_variables_and_no_secret_unless_asked() -> None:
    record = job_record(cell_job(), [], [])
    text = record.text()
    assert BODY in text
    assert "API_TOKEN = ***" in text
    assert "LR" in text
    for form in ("json", "yaml"):
        exact = record.render(Show(form))
        assert "data:application/gzip;base64," in exact, "what a machine reads is exact"
        assert "hunter2" not in exact
        assert "hunter2" in record.render(Show(form, secrets=True))
    assert "hunter2" not in record._repr_html_()


def test_the_repr_of_a_job_shows_no_secret() -> None:
    assert "hunter2" not in repr(cell_job())
    assert "LR" in repr(cell_job())


def test_secrets_are_masked_wherever_a_record_holds_variables() -> None:
    record = [
        {
            "Job": {
                "Tasks": [
                    {
                        "Env": {"PASSWORD": "hunter2"},
                        "Engine": {"Params": {"EnvironmentVariables": ["DB_PASSWORD=hunter2", "A=1", "odd"]}},
                    }
                ]
            }
        }
    ]
    shown = json.loads(Details(record).render(Show("json")))
    assert "hunter2" not in str(shown)
    assert shown[0]["Job"]["Tasks"][0]["Engine"]["Params"]["EnvironmentVariables"][1:] == ["A=1", "odd"]


def test_other_files_that_travel_are_shown_by_name_and_size() -> None:
    files = inline_files({"a.csv": b"x" * 3200, "b/c.bin": b"\0"}, "/inputs", what="here")
    spec = for_people(to_plain(docker("busybox", inputs=[files])))
    assert spec["Tasks"][0]["InputSources"][0]["Source"]["Params"] == {
        "Files": {"a.csv": "… 3.2 kB", "b/c.bin": "… 1 B"}
    }
    assert inputs_of(to_plain(docker("busybox", inputs=[files]))) == [("here", "/inputs", "inline")]


def test_an_archive_that_unpacks_to_gigabytes_or_is_broken_is_only_counted() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("cell.py")
        entry.size = 64 * 1024 * 1024
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    bomb = inline_job(encode_data_url(packed.getvalue(), "application/gzip"))
    assert code_of(bomb) == ""
    assert len(str(for_people(bomb))) < 2000
    for broken in ("data:application/gzip;base64,AAAA", "data:application/gzip;base64,!", "no URL", ""):
        assert code_of(inline_job(broken)) == ""
        assert for_people(inline_job(broken))


def test_a_diff_shows_neither_secrets_nor_data() -> None:
    text = "\n".join(
        [
            "+  Env:",
            "+    API_TOKEN: hunter2",
            "-    PRIVATE_KEY: 'hunter2",
            "-",
            "-      hunter2'",
            "     LR: '0.1'",
            "+    Key: data/",
            "+    URL: data:text/plain;base64," + "A" * 500,
        ]
    )
    shown = diff_for_people(text)
    assert "hunter2" not in shown
    assert "AAAA" not in shown
    assert "+    Key: data/" in shown
    assert "     LR: '0.1'" in shown


@pytest.mark.parametrize(
    ("name", "shown"), [("nightly", "nightly"), ("", "a.ipynb [3]"), ("j-1", "a.ipynb [3]")]
)
def test_a_list_calls_a_job_by_its_name_or_by_the_cell_it_comes_from(name: str, shown: str) -> None:
    job = replace(docker("busybox", ["true"]), id="j-1", name=name, meta={TITLE: "a.ipynb [3]"})
    (row,) = jobs_table([job]).rows
    assert list(row)[1:3] == ["j-1", shown]


def test_a_table_of_words_stands_at_the_left() -> None:
    page = jobs_table([docker("busybox", ["true"])])._repr_html_()
    assert '<th style="text-align:left">type</th>' in page
    assert '<td style="text-align:left">batch</td>' in page


def test_a_page_does_not_break_an_id_and_does_break_sentences() -> None:
    page = Table(("id", "why"), [("n-bb9d960c", "a half-written sentence that goes on, and on, and on")])
    assert '<td style="text-align:left;white-space:nowrap">n-bb9d960c</td>' in page._repr_html_()
    assert '<td style="text-align:left">a half-written' in page._repr_html_()


def test_a_described_job_shows_the_ports_of_what_runs_with_a_link() -> None:
    ports = [Port(name="web", static=20000, target=80), Port(name="db", static=20001)]
    running = Execution(id="e-1", ports=ports)
    ended = replace(
        running, id="e-2", compute_state=ComputeState(state_type=ExecutionStateType.COMPLETED), ports=ports
    )
    text = job_record(cell_job(), [running, ended], [], "http://127.0.0.1:1234").text()
    assert "e-1  web *:20000 → 80  http://127.0.0.1:20000/\n" in text
    assert "e-1  db *:20001\n" in text + "\n"
    assert "e-2  web" not in text


def test_what_ran_a_job_is_named_in_its_description_and_its_history() -> None:
    runtime = {"Runtime": "wasmtime 50.0.1"}
    done = ComputeState(state_type=ExecutionStateType.COMPLETED, details=runtime)
    job = replace(cell_job(), tasks=[replace(cell_job().task, engine=SpecConfig(type="wasm"))])
    again = Execution(id="e-2", compute_state=done)
    rows = [
        JobHistory(execution_id="e-1", event=Event(message=message, details=runtime))
        for message in ("Completed successfully", "fetched inputs: 78 kB")
    ]
    text = job_record(job, [Execution(id="e-1", compute_state=done), again], rows).text()
    assert "Runtime = wasm (wasmtime 50.0.1)\n" in text
    assert [line[-1] for line in history_table(rows).rows] == [
        "Completed successfully (wasmtime 50.0.1)",
        "fetched inputs: 78 kB",
    ]
    assert "Runtime" not in job_record(job, [Execution(id="e-1")], []).text()


def test_a_history_says_who_did_it_where_others_than_the_owner_act() -> None:
    def row(principal: str, execution_id: str = "") -> JobHistory:
        event = Event(message="Job submitted", topic="Submission", details={"Principal": principal})
        return JobHistory(execution_id=execution_id, event=event)

    def shown(*rows: JobHistory) -> list[object]:
        return [line[-1] for line in history_table(rows).rows]

    # What a node reports of its executions may say anything.
    reported = row("user:mallory", "e-1")
    assert shown(row("owner"), reported) == ["Job submitted"] * 2
    several = shown(row("user:ada"), row("owner"), reported)
    assert several == ["Job submitted (by user:ada)", "Job submitted (by owner)", "Job submitted"]
