"""``%bacalhau`` lines and cells as a person meets them: help, machine-readable output, TAB, odd results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("%bacalhau", "docker"),
        ("%bacalhau --help", "docker"),
        ("%bacalhau job", "describe"),
        ("%bacalhau job --help", "describe"),
        ("%bacalhau job logs -h", "--follow"),
        ("%bacalhau help", "docker"),
        ("%bacalhau help", "%%bacalhau python"),
        ("%bacalhau help job logs", "--follow"),
        ("%%bacalhau --help", "python"),
        ("%bacalhau job logs?", "--follow"),
        ("%%bacalhau python?", "--out"),
        ("%bacalhau help attach", "%bacalhau attach j-1a2b3c4d"),
        ("%%bacalhau python --help\npass", "--out"),
    ],
)
def test_help_is_shown_and_returns_no_value(kernel: Kernel, line: str, word: str) -> None:
    ran = kernel.run(line)
    assert ran.status == "ok", ran.traceback
    assert word in ran.stdout
    assert ran.result == {}
    assert ran.stderr == ""


def test_a_value_after_a_flag_without_a_value_does_not_become_a_flag(kernel: Kernel) -> None:
    ran = kernel.run("hostile = '--network=host'\n%bacalhau docker run --dry-run $hostile busybox true")
    assert "the value of $hostile begins with -" in ran.traceback


@pytest.mark.parametrize("verb", ["serve", "demo"])
def test_a_process_of_its_own_does_not_start_inside_a_kernel(kernel: Kernel, verb: str) -> None:
    ran = kernel.run(f"%bacalhau {verb}")
    assert f"in a shell: bacalhau-jupyter {verb}" in ran.traceback
    assert "Traceback" not in ran.traceback


def test_id_only_and_dry_run_print_just_that(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --id-only\ntrue")
    assert ran.stdout.startswith("j-")
    assert len(ran.stdout.split()) == 1
    assert (ran.stderr, ran.displays, ran.result) == ("", [], {})
    dry = kernel.run("%%bacalhau sh --dry-run -e A=1\ntrue")
    assert kernel.value("_.record['Tasks'][0]['Env']") == {"A": "1"}
    assert (dry.stdout, dry.displays) == ("", [])


def test_a_later_word_is_not_a_print_flag(kernel: Kernel) -> None:
    ran = kernel.run("%bacalhau docker run --dry-run busybox -- prog --output json --hide-header")
    assert "--hide-header" in ran.result["text/plain"]
    assert ran.stdout == ""


def test_a_submitted_job_says_how_it_ended_and_how_to_see_what_it_printed(kernel: Kernel) -> None:
    kernel.run(
        "spec = 'Type: batch\\nTasks: [{Name: m, Engine: {Type: process, Params: {Command: [sh, -c, \"%s\"]}}}]'\n"
        "open('said.yaml', 'w').write(spec % 'echo hidden; exit 3')\n"
        "open('silent.yaml', 'w').write(spec % 'true')"
    )
    ran = kernel.run("%bacalhau job run said.yaml")
    job = kernel.value("_.job.id")[:10]
    card = ran.displays[-1]["text/plain"]
    assert "✕ exit 3" in card
    assert "completed" not in card
    assert (
        ran.stdout == f"its output: %bacalhau job logs {job} (with -f a line shows it while the job runs)\n"
    )
    assert kernel.run(f"%bacalhau job logs {job}").stdout == "hidden\n"
    silent = kernel.run("%bacalhau job run silent.yaml")
    assert silent.stdout == "it printed nothing\n"
    assert (ran.result, silent.result) == ({}, {}), "without files there is nothing more to show"
    followed = kernel.run("%bacalhau job run -f said.yaml --force")
    assert followed.stdout == "hidden\n"


def test_out_of_a_failed_cell_is_a_clear_error(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python --no-check --out n\nraise SystemExit(3)")
    assert ran.status == "error"
    assert "--out n" in ran.traceback
    assert "Traceback" not in ran.traceback
    ran = kernel.run("%%bacalhau python --out class\npass")
    assert "is not a variable name" in ran.traceback
    ran = kernel.run("%%bacalhau python --out n --out n\nn = 1")
    assert ran.status == "ok", ran.traceback


def test_names_in_one_flag_are_answered_with_the_flags_to_write(kernel: Kernel) -> None:
    assert "--out top --out n" in kernel.run("%%bacalhau python --out top,n\npass").traceback
    assert "--in top --in n" in kernel.run("%%bacalhau python --in top,n\npass").traceback


def test_one_name_for_a_shell_cell_is_said_before_it_runs(kernel: Kernel) -> None:
    before = kernel.value("len(__import__('bacalhau_jupyter').Client().jobs(limit=0))")
    ran = kernel.run("%%bacalhau sh --out a --out b\ntrue")
    assert "--out takes one name" in ran.traceback
    assert kernel.value("len(__import__('bacalhau_jupyter').Client().jobs(limit=0))") == before


def test_a_plain_json_result_is_listed_and_a_hostile_name_is_escaped(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh\necho '{\"acc\": 0.9}' > outputs/metrics.json; : > 'outputs/<img src=x>'")
    assert "metrics.json" in ran.result["text/html"]
    assert "<img" not in ran.result["text/html"]
    assert "JobResult" in ran.result["text/plain"]


def test_the_record_has_a_stable_schema_and_no_secret(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh\necho x > outputs/x")
    record = ran.displays[-1][MIME]
    assert set(record) == {
        "version",
        "job_id",
        "title",
        "cached",
        "endpoint",
        "state",
        "phase",
        "node",
        "runtime",
        "exit_code",
        "duration_s",
        "results",
        "error",
        "outcome",
        "followed",
        "detached",
        "lines",
        "parts",
    }
    everything = json.dumps([ran.displays, ran.result, ran.stdout, ran.stderr])
    assert kernel.repo.api_key() not in everything
    assert "signature" not in everything.lower()


@pytest.mark.parametrize("ending", ["true", "exit 3", "sleep 600"])
def test_attach_shows_a_job_that_is_over(kernel: Kernel, ending: str) -> None:
    kernel.run(f"%%bacalhau sh --detach\necho said; {ending}")
    kernel.run("job = _")
    kernel.run("job.stop()" if ending == "sleep 600" else "job.wait()")
    ran = kernel.run("get_ipython().run_line_magic('bacalhau', f'attach {job.short_id}')")
    if ending != "sleep 600":
        assert "said\n" in ran.stdout
    assert {"true": "exit code 0", "exit 3": "exit code 3", "sleep 600": "stopped"}[ending] in (
        ran.traceback + ran.displays[-1]["text/plain"]
    )


def test_job_get_has_a_default_directory_and_refuses_to_overwrite(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh\necho x > outputs/x")
    job = kernel.value("_.job.id")
    first = kernel.run(f"%bacalhau job get {job}")
    assert first.status == "ok", first.traceback
    again = kernel.run(f"%bacalhau job get {job}")
    assert "already exists" in again.traceback
    assert "Traceback" not in again.traceback


def test_tab_starts_no_node_and_does_not_make_one_wait(tmp_path: Path) -> None:
    made = Kernel(Repo.open(tmp_path / "repo"), tmp_path)
    try:
        made.run("%load_ext bacalhau_jupyter\n%load_ext bacalhau_jupyter")
        made.run("from bacalhau_jupyter.notebook.completion import complete_words")  # imports are paid once
        line = "%bacalhau job describe j"
        made.reply(made.client.complete("%bacalhau j", 11))
        made.reply(made.client.complete(line, len(line)))
        assert read_record(made.repo) is None
    finally:
        made.close()


def test_a_cell_asks_the_cluster_of_its_context(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --context nowhere\ntrue")
    assert "nowhere" in ran.traceback
    assert "Traceback" not in ran.traceback


@pytest.mark.parametrize("flags", ["--api-port 1", "-c API.Port=1", "--api-host 127.0.0.1 --api-port 1"])
def test_a_cell_asks_the_cluster_that_its_flags_name(kernel: Kernel, flags: str) -> None:
    ran = kernel.run(f"%%bacalhau sh {flags}\ntrue")
    assert "127.0.0.1:1 can't be reached" in ran.error["evalue"]


def test_a_verb_of_older_versions_works_on_a_line_with_a_notice(kernel: Kernel) -> None:
    ran = kernel.run("%bacalhau list")
    assert ran.status == "ok"
    assert "Note: list is job list today" in ran.stderr


def test_a_fall_back_to_a_container_is_reported(tmp_path: Path, docker_engine: str) -> None:
    repo = Repo.open(tmp_path / "repo")
    (repo.path / "config.yaml").write_text("Engines:\n  Process:\n    Tiers: [nothing]\n")
    made = Kernel(repo, tmp_path)
    try:
        made.run("%load_ext bacalhau_jupyter")
        ran = made.run("%%bacalhau sh --dry-run\ntrue")
        assert "runs in debian:stable-slim, because the process engine is off" in ran.stderr, ran
        assert "nothing" in ran.stderr
        assert made.run("%%bacalhau sh --dry-run --image busybox\ntrue").stderr == ""
    finally:
        made.close()


def test_a_notebook_opens_a_cluster_and_no_output_holds_the_token(kernel: Kernel) -> None:
    opened = kernel.run("%bacalhau cluster open")
    try:
        assert opened.status == "ok", opened.traceback
        token = kernel.repo.cluster_token_file.read_text().strip()
        text = str(opened)
        assert "cluster.token" in text
        assert token not in text
    finally:
        closed = kernel.run("%bacalhau cluster close")
    assert closed.status == "ok", closed.traceback
