"""``bacalhau-jupyter …`` in a shell, as a process, against a real node process."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.cli.running import Shell
from tests.services.common import wait_until
from tests.services.node import ServedNode

COMPLETE = "_BACALHAU_JUPYTER_COMPLETE"

SPEC = """
Type: batch
Tasks:
- Name: main
  Engine: {Type: process, Params: {Command: [sh, -c, "echo out; echo err >&2; echo file > outputs/f.txt"]}}
  Publisher: {Type: local}
  ResultPaths: [{Name: outputs, Path: /outputs}]
"""


@pytest.fixture
def finished(shell: Shell) -> str:
    """ID of a job that ran."""
    done = shell("job", "run", "-", "--wait", stdin=SPEC)
    assert done.returncode == 0, done.stderr
    return shell("job", "list", "--limit", "1", "--wide", "--hide-header").stdout.split()[2]


def test_a_spec_runs_and_its_output_follows(shell: Shell) -> None:
    done = shell("job", "run", "-", "--follow", stdin=SPEC)
    assert (done.returncode, done.stdout) == (0, "out\n"), done.stderr
    assert "err\n" in done.stderr
    assert "Job ID: j-" in done.stderr


def test_id_only_prints_nothing_else(shell: Shell) -> None:
    done = shell("job", "run", "-", "--id-only", stdin=SPEC)
    assert done.returncode == 0
    assert done.stdout.startswith("j-")
    assert len(done.stdout.split()) == 1
    assert done.stderr == ""


def test_hints_name_the_commands_of_the_shell(shell: Shell) -> None:
    submitted = shell("job", "run", "-", "--no-wait", stdin=SPEC)
    assert "Follow it with: bacalhau-jupyter attach j-" in submitted.stdout
    failed = shell("job", "run", "-", "--check", stdin=SPEC.replace("echo out", "exit 3"))
    assert failed.returncode != 0
    assert "bacalhau-jupyter job logs" in failed.stderr
    assert "%bacalhau" not in submitted.stdout + failed.stderr


def test_results_land_in_a_directory_as_the_official_cli_lays_them_out(
    shell: Shell, finished: str, tmp_path: Path
) -> None:
    done = shell("job", "get", finished)
    assert done.returncode == 0, done.stderr
    target = Path(done.stdout.splitlines()[-1])
    assert target.parent == tmp_path
    names = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert names == ["exitCode", "outputs/f.txt", "stderr", "stdout"]
    assert (target / "exitCode").read_text() == "0"
    missing = shell("job", "get", finished, "--output-dir", "no/such/place")
    assert missing.returncode == 1
    assert "no/such/place does not exist" in missing.stderr


@pytest.mark.parametrize("verb", [("job", "list"), ("node", "list"), ("agent", "version")])
def test_every_listing_speaks_all_formats(shell: Shell, finished: str, verb: tuple[str, ...]) -> None:
    assert json.loads(shell(*verb, "--output", "json").stdout)
    assert yaml.safe_load(shell(*verb, "--output", "yaml").stdout)
    rows = list(csv.reader(io.StringIO(shell(*verb, "--output", "csv").stdout)))
    assert len(rows) >= 2
    assert len({len(row) for row in rows}) == 1
    assert len(shell(*verb, "--hide-header").stdout.splitlines()) == len(rows) - 1


def test_a_job_is_described_with_history_executions_and_output(shell: Shell, finished: str) -> None:
    text = shell("job", "describe", finished).stdout
    for part in (finished, "Completed", "Job submitted", "Completed successfully", "out\n", "err"):
        assert part in text
    assert "Requested execution" in shell("job", "history", finished).stdout
    assert "Completed" in shell("job", "executions", finished[:10]).stdout
    assert shell("job", "logs", finished).stdout == "out\n"


def test_a_running_job_is_stopped_once(shell: Shell) -> None:
    spec = SPEC.replace("echo out;", "sleep 60;")
    job = shell("job", "run", "-", "--id-only", "--no-wait", stdin=spec).stdout.strip()
    assert shell("job", "stop", job).returncode == 0
    assert "Stopped" in shell("job", "describe", job).stdout
    again = shell("job", "stop", job)
    assert again.returncode == 1
    assert "is over already (Stopped)" in again.stderr


def test_a_job_runs_again_as_a_version_and_is_deleted_with_all_of_them(shell: Shell) -> None:
    job = shell("job", "run", "-", "--id-only", stdin=SPEC).stdout.strip()
    again = shell("job", "rerun", job)
    assert "runs again as version 2" in again.stderr
    assert "Completed, exit code 0, process (" in again.stdout
    rows = list(csv.DictReader(io.StringIO(shell("job", "versions", job, "--output", "csv").stdout)))
    assert [(row["job version"], row["state"]) for row in rows] == [("1", "Completed"), ("2", "Completed")]
    assert "is deleted" in shell("job", "delete", job).stdout
    gone = shell("job", "describe", job)
    assert gone.returncode == 1
    assert "job not found" in gone.stderr
    assert "job not found" in shell("job", "delete", job).stderr


def test_attach_without_an_id_shows_the_last_job_of_this_directory(shell: Shell, tmp_path: Path) -> None:
    none_yet = shell("attach")
    assert none_yet.returncode == 1
    assert "no job was submitted from here" in none_yet.stderr
    shell("job", "run", "-", "--no-wait", stdin=SPEC.replace("echo out", "echo the last one"))
    done = shell("attach")
    assert (done.returncode, done.stdout) == (0, "the last one\n"), done.stderr


def test_a_shell_completes_with_words_and_asks_the_cluster_for_jobs(shell: Shell, finished: str) -> None:
    assert "_BACALHAU_JUPYTER_COMPLETE=fish_complete" in shell("completion", "fish").stdout
    verbs = shell(COMP_WORDS="bacalhau-jupyter job li", COMP_CWORD="li", **{COMPLETE: "fish_complete"})
    assert verbs.stdout == "plain,list\tList jobs.\n"

    def jobs() -> str:
        return shell(
            COMP_WORDS="bacalhau-jupyter attach", COMP_CWORD="", **{COMPLETE: "fish_complete"}
        ).stdout

    # A shell offers nothing where the answer takes longer than a person waits.
    assert wait_until(lambda: f"plain,{finished[:10]}\tCompleted" in jobs(), timeout_s=60)


def test_flags_may_follow_the_image_and_two_dashes_end_them(shell: Shell) -> None:
    dry = shell(
        "docker", "run", "--dry-run", "img", "--cpu", "1", "--timeout", "9", "--", "echo", "--cpu", "-n"
    )
    task = yaml.safe_load(dry.stdout)["Tasks"][0]
    assert task["Engine"]["Params"]["Parameters"] == ["echo", "--cpu", "-n"]
    assert (task["Resources"]["CPU"], task["Timeouts"]["TotalTimeout"]) == ("1", 9)


def test_docker_run_takes_the_official_flags(shell: Shell, busybox_image: str) -> None:
    words = (
        "docker",
        "run",
        "-f",
        "-e",
        "GREETING=hi",
        "--memory",
        "64mb",
        "--network",
        "none",
        "-w",
        "/tmp",
    )
    done = shell(*words, busybox_image, "--", "sh", "-c", "echo $GREETING from $(pwd)")
    assert (done.returncode, done.stdout) == (0, "hi from /tmp\n"), done.stderr
    dry = yaml.safe_load(shell(*words, "--dry-run", busybox_image, "--", "true").stdout)
    task = dry["Tasks"][0]
    assert task["Engine"]["Params"] == {
        "Image": busybox_image,
        "Parameters": ["true"],
        "WorkingDirectory": "/tmp",
    }
    assert task["Env"] == {"GREETING": "hi"}
    assert task["Network"] == {"Type": "None"}


def test_a_total_time_caps_the_queue_time(shell: Shell, busybox_image: str) -> None:
    done = shell("docker", "run", "--timeout", "600", busybox_image, "--", "true")
    assert done.returncode == 0, done.stderr


def test_a_spec_is_validated_without_a_node(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "ok.yaml").write_text(SPEC)
    (tmp_path / "bad.yaml").write_text(SPEC.replace("batch", "bunch").replace("/outputs}", "outputs}"))
    assert "is a valid job spec" in shell("job", "validate", "ok.yaml").stdout
    bad = shell("job", "validate", "bad.yaml")
    assert bad.returncode == 1
    assert 'invalid job type: "bunch"' in bad.stderr
    assert "must be absolute" in bad.stderr
    assert "Traceback" not in bad.stderr


@pytest.mark.parametrize(
    ("words", "sentence", "status"),
    [
        (("job", "lsit"), "No such command", 2),
        (("job", "list", "--limt", "1"), "No such option", 2),
        (("job", "describe", "j-nope"), "job not found: j-nope", 1),
        (("job", "run", "missing.yaml"), "missing.yaml can't be read", 1),
        (("node", "describe", "n-nope"), "node not found: n-nope", 1),
        (("--context", "nowhere", "job", "list"), "nowhere", 1),
    ],
)
def test_a_wrong_word_is_two_lines_and_a_status(
    shell: Shell, words: tuple[str, ...], sentence: str, status: int
) -> None:
    done = shell(*words)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_or_a_full_disk_prints_no_stack_trace(served: ServedNode, finished: str) -> None:
    command = [sys.executable, "-m", "bacalhau_jupyter", "job", "describe", finished, "--output", "json"]
    env = {**os.environ, "BACALHAU_DIR": str(served.repo.path)}
    reading, writing = os.pipe()
    os.close(reading)
    for target in (writing, os.open("/dev/full", os.O_WRONLY)):
        done = subprocess.run(
            command, stdout=target, stderr=subprocess.PIPE, text=True, env=env, timeout=60, check=False
        )
        os.close(target)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr


def test_a_poor_locale_prints_no_stack_trace(shell: Shell) -> None:
    words = ("docker", "run", "--dry-run", "busybox", "--", "echo", "\u65e5\u672c")
    done = shell(*words, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "- ??" in done.stdout


ODD = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("docker", "run", "--name", ODD, "busybox"), r"Error: Job.Name is not text: 'caf\xe9' is not UTF-8"),
        (("docker", "run", "busybox", "--", "echo", ODD), r"is not text: 'caf\xe9' is not UTF-8"),
        (("docker", "run", "-i", f"file:///{ODD}", "busybox"), r"file:///caf\xe9 is not UTF-8"),
        (("docker", "run", "-i", "file:///caf%E9", "busybox"), r"file:///caf%E9 is not UTF-8"),
        (("docker", "run", "-i", f"./{ODD}", "busybox"), r"no such file here: ./caf\xe9"),
        (("job", "describe", ODD), "caf%E9"),
        (("job", "list", "--labels", ODD), "Error: "),
        (("job", "run", ODD), "can't be read: No such file"),
        ((ODD,), "Error: No such command"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_an_error_of_one_sentence(
    shell: Shell, words: tuple[str, ...], sentence: str
) -> None:
    done = shell(*words)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr


def test_a_file_whose_name_is_not_utf_8_can_be_an_input(
    shell: Shell, tmp_path: Path, busybox_image: str
) -> None:
    (tmp_path / ODD).write_text("odd")
    words = ("docker", "run", "-i", ODD, "--follow", busybox_image, "--", "sh", "-c", "cat /inputs/caf*")
    done = shell(*words)
    assert done.stdout.endswith("odd"), done.stderr


def test_an_address_where_nothing_listens_is_an_error_with_that_reason(shell: Shell) -> None:
    done = shell("job", "list", BACALHAU_API_HOST="127.0.0.1", BACALHAU_API_PORT="9")
    assert done.returncode == 1
    assert "http://127.0.0.1:9 can't be reached: Connection refused\n" in done.stderr
    assert "Hint:" in done.stderr


@pytest.mark.process
def test_without_a_node_the_first_verb_starts_one_and_it_leaves_with_its_last_user(tmp_path: Path) -> None:
    from bacalhau_jupyter.config.election import read_record
    from bacalhau_jupyter.config.repo import Repo

    repo = Repo.open(tmp_path / "fresh")
    (repo.path / "config.yaml").write_text("Node:\n  GracePeriod: 0s\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
    done = subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", "job", "list"],
        env={**env, "BACALHAU_DIR": str(repo.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CREATED" in done.stdout
    deadline = time.monotonic() + 60
    while read_record(repo) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert read_record(repo) is None
