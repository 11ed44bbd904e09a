"""Flags that the official client has, too, do here what they say."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from pathlib import Path

import click
import pytest
import yaml

from bacalhau_jupyter.cli.main import ShellSession
from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.grammar import bacalhau
from bacalhau_jupyter.grammar.jobs import limited
from bacalhau_jupyter.grammar.submitting import Waiting, wait_for
from tests.cli.running import Shell
from tests.services.common import wait_until

CAPTURES = Path(__file__).parents[1] / "data" / "trust-captures"
SPEC = """
Name: {name}
Type: batch
Tasks: [{{Name: main, Engine: {{Type: noop, Params: {{Sleep: {sleep}}}}}}}]
"""


def spec(name: str, sleep: int = 0) -> str:
    return SPEC.format(name=name, sleep=sleep)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_dry_run_of_a_new_job_shows_it_and_one_of_a_known_job_shows_the_difference(shell: Shell) -> None:
    fresh = shell("job", "run", "--dry-run", stdin=spec("dry"))
    assert fresh.returncode == 0, fresh.stderr
    assert yaml.safe_load(fresh.stdout)["Name"] == "dry"
    assert "there is no job 'dry' yet" in fresh.stderr
    assert "not found" in shell("job", "describe", "dry").stderr
    shell("job", "run", stdin=spec("dry"))
    assert "no changes" in shell("job", "run", "--dry-run", stdin=spec("dry")).stdout
    for verb in (("run", "--dry-run"), ("diff",)):
        assert "Sleep: 1" in shell("job", *verb, stdin=spec("dry", 1)).stdout


def test_waiting_ends_after_the_time_that_is_given_and_the_job_goes_on(shell: Shell) -> None:
    done = shell("job", "run", "--wait-timeout-secs", "1", stdin=spec("long", 600))
    assert done.returncode == 1
    assert "is not over after 1 s; it continues" in done.stderr
    assert "bacalhau-jupyter attach" in done.stderr
    # On a slow machine a second may be over before it runs.
    assert wait_until(lambda: "Running" in shell("job", "describe", "long").stdout, timeout_s=60)
    assert shell("job", "stop", "--quiet", "long").stdout == ""


def test_a_shell_waits_ten_minutes_as_the_official_help_says_and_follows_output_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[float] = []

    def limited_job(job: Job, limit_s: float) -> Job:
        limits.append(limit_s)
        return job

    monkeypatch.setattr(limited, "LimitedJob", limited_job)
    session = ShellSession()
    monkeypatch.setattr(session, "follow", lambda *_, **__: None)
    context = click.Context(bacalhau, obj=session)
    with context:
        for waiting in (Waiting(), Waiting(follow=True), Waiting(limit_s=0), Waiting(limit_s=5, follow=True)):
            wait_for(Job(Client(start=False), "j-1"), waiting)
    assert limits == [600, 5]


def test_details_at_the_end_are_by_node_and_by_execution(shell: Shell) -> None:
    done = shell("job", "run", "--node-details", "--group-events", stdin=spec("details"))
    assert done.returncode == 0, done.stderr
    head, _, events = done.stdout.partition("\nJob\n")
    assert "Results by node\nNODE" in head
    assert "Completed" in head
    assert events.index("Submission") < events.index("Execution e-") < events.index("Scheduling")


def test_warnings_can_be_hidden(shell: Shell) -> None:
    text = spec("warned") + "Meta: {bacalhau.org/x: y}\n"
    assert "reserved" in shell("job", "run", stdin=text).stderr
    assert "reserved" not in shell("job", "run", "--force", "--hide-warnings", stdin=text).stderr


def test_a_version_of_a_job_can_be_run_again_and_looked_at(shell: Shell) -> None:
    shell("job", "run", "--wait", stdin=spec("versions"))
    shell("job", "run", "--wait", stdin=spec("versions", 1))
    again = shell("job", "rerun", "versions", "-v", "1", "--id-only", "--wait=true")
    assert again.stdout.startswith("j-")
    listed = rows(shell("job", "versions", "versions", "--output", "csv").stdout)
    assert [row["job version"] for row in listed] == ["1", "2", "3"]
    described = json.loads(shell("job", "describe", "versions", "-v", "2", "--output", "json").stdout)
    assert described["Job"]["Tasks"][0]["Engine"]["Params"] == {"Sleep": 1}
    for verb in ("executions", "history"):
        every = rows(shell("job", verb, "versions", "--all-versions", "--output", "csv").stdout)
        one = rows(shell("job", verb, "versions", "--version", "2", "--output", "csv").stdout)
        assert {row["job version"] for row in every} == {"1", "2", "3"}
        assert {row["job version"] for row in one} == {"2"}
    back = rows(shell("job", "history", "versions", "--order-reversed", "--output", "csv").stdout)
    assert back[0]["event"] == "Completed" or back[0]["topic"] == "State Update"


@pytest.mark.parametrize(
    ("verb", "columns"),
    [
        (("job", "list"), ["created", "id", "name", "job", "type", "state"]),
        (
            ("job", "executions", "columns"),
            ["created", "modified", "id", "job version", "node id", "rev.", "state", "desired"],
        ),
        (
            ("job", "history", "columns"),
            ["time", "level", "job version", "exec. id", "topic", "event"],
        ),
        (("job", "versions", "columns"), ["created at", "job version"]),
        (
            ("node", "list"),
            ["id", "type", "approval", "status", "labels", "cpu", "memory", "disk", "gpu"],
        ),
        (
            ("node", "list", "--show", "version,features"),
            ["version", "architecture", "os", "engines", "inputs from", "outputs"],
        ),
        (("config", "list"), ["key", "value", "description"]),
        (("profile", "list"), ["current", "name", "endpoint", "auth"]),
    ],
)
def test_tables_begin_with_the_official_columns(
    shell: Shell, verb: tuple[str, ...], columns: list[str]
) -> None:
    shell("job", "run", stdin=spec("columns"))
    done = shell(*verb, "--output", "csv", "--no-style", "--wide")
    assert done.returncode == 0, done.stderr
    head = done.stdout.splitlines()[0].split(",")
    assert head[head.index(columns[0]) :][: len(columns)] == columns


def test_jobs_and_nodes_are_listed_in_the_order_that_is_asked_for(shell: Shell) -> None:
    for name in ("order-a", "order-b", "order-c"):
        shell("job", "run", "--no-wait", stdin=spec(name))
    ids = [
        row["id"]
        for row in rows(
            shell("job", "list", "--order-by", "id", "--order-reversed=false", "--output", "csv").stdout
        )
    ]
    assert ids == sorted(ids)
    assert len(ids) >= 3
    assert shell("node", "list", "--order-by", "available_cpu", "--limit", "1").returncode == 0
    assert "'colour' is not one of" in shell("node", "list", "--order-by", "colour").stderr
    assert "there are no columns 'colour'" in shell("node", "list", "--show", "colour").stderr


def test_a_node_is_rejected_and_approved(shell: Shell) -> None:
    node = rows(shell("node", "list", "--wide", "--output", "csv").stdout)[0]["id"]
    assert f"Node {node} is rejected" in shell("node", "reject", node, "-m", "for a test").stdout
    listed = rows(shell("node", "list", "--filter-approval", "rejected", "--output", "csv").stdout)
    assert [row["approval"] for row in listed] == ["REJECTED"]
    assert f"Node {node} is approved" in shell("node", "approve", node).stdout
    unknown = shell("node", "delete", "n-nope")
    assert unknown.returncode == 1
    assert "n-nope" in unknown.stderr


def test_connections_are_saved_chosen_shown_and_deleted(shell: Shell, tmp_path: Path) -> None:
    own = {"BACALHAU_DIR": str(tmp_path / "own")}
    assert "needs --endpoint" in shell("profile", "save", "prod", **own).stderr
    saved = shell("profile", "save", "prod", "--endpoint", "10.0.0.7:1234", "--select", **own)
    assert saved.stdout == 'Profile "prod" saved\nSwitched to profile "prod"\n'
    shell("profile", "save", "prod", "--timeout", "5s", "--description", "for work", **own)
    shown = shell("profile", "show", **own).stdout
    for words in ("prod (current)", "10.0.0.7:1234", "5s", "for work", "none"):
        assert words in shown
    listed = rows(shell("profile", "list", "--output", "csv", **own).stdout)
    assert listed == [{"current": "*", "name": "prod", "endpoint": "10.0.0.7:1234", "auth": ""}]
    assert shell("profile", "delete", "prod", stdin="n\n", **own).returncode != 0
    assert 'Profile "prod" deleted' in shell("profile", "delete", "prod", "-f", **own).stdout
    assert "not found" in shell("profile", "select", "prod", **own).stderr


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_connection_is_named_before_or_behind_any_word(shell: Shell, place: int) -> None:
    words = ["job", "list"]
    words[place:place] = ["--profile", "nowhere"]
    done = shell(*words)
    assert done.returncode == 1
    assert 'profile "nowhere" not found' in done.stderr


def test_the_words_of_auth_info_are_the_official_ones_and_a_line_more(shell: Shell) -> None:
    captured = json.loads((CAPTURES / "cli_texts.json").read_bytes())
    (official,) = (item["text"] for item in captured if item["what"] == "auth info")
    before, _, note = official.partition("Note: ")
    info = shell("auth", "info", BACALHAU_API_KEY="x").stdout
    assert info.endswith(f"Note: {note}\n")
    for line in before.partition("Provider Name")[0].splitlines()[2:]:
        assert line.replace("API Key: Not Set", "API Key: Set") in info.splitlines()
    assert "Server does not support SSO login" in info
    assert "In use: " in info


def test_the_client_id_is_that_of_the_key_pair(shell: Shell, tmp_path: Path) -> None:
    modulus = b"\xc5" + bytes(range(255))
    length = (len(modulus) + 1).to_bytes(2, "big")
    inner = b"\x02\x01\x00" + b"\x02\x82" + length + b"\x00" + modulus
    der = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
    body = base64.encodebytes(der).decode()
    own = tmp_path / "own"
    own.mkdir()
    assert "has no user_id.pem" in shell("id", BACALHAU_DIR=str(own)).stderr
    head, foot = (f"-----{word} RSA PRIVATE KEY-----\n" for word in ("BEGIN", "END"))
    (own / "user_id.pem").write_text(head + body + foot)
    assert hashlib.sha256(modulus).hexdigest() in shell("id", BACALHAU_DIR=str(own)).stdout
    (own / "user_id.pem").write_text("nonsense")
    assert "holds no RSA key" in shell("id", BACALHAU_DIR=str(own)).stderr


def test_a_share_of_the_machine_is_written_once(shell: Shell, tmp_path: Path) -> None:
    own = {"BACALHAU_DIR": str(tmp_path / "own")}
    assert shell("config", "auto-resources", "--total-percentage", "50", **own).returncode == 0
    text = (tmp_path / "own" / "config.yaml").read_text()
    assert yaml.safe_load(text)["Compute"]["AllocatedCapacity"] == {
        "CPU": "50%",
        "Memory": "50%",
        "Disk": "50%",
        "GPU": "50%",
    }
    assert "sets Compute.AllocatedCapacity.CPU already" in shell("config", "auto-resources", **own).stderr
    assert shell("config", "auto-resources", "--force", **own).returncode == 0


def test_the_configuration_as_yaml_is_a_config_file(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(shell("config", "list", "--output", "yaml").stdout)
    again = shell("config", "list", "--output", "json", "-c", str(tmp_path / "all.yaml"))
    assert again.returncode == 0, again.stderr
    assert {entry["Source"] for entry in json.loads(again.stdout)} <= {
        str(tmp_path / "all.yaml"),
        "BACALHAU_DIR",
        "flag",
    }
