"""What somebody who knows the official program tries first, in a shell against a real node process."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.grammar.nodes.columns import nodes_table
from bacalhau_jupyter.models.records.node import NodeInfo, NodeState, NodeType
from tests.cli.running import Shell
from tests.services.node import ServedNode

ENDLESS = """
Name: NAME
Type: TYPE
Tasks:
- Name: main
  Engine: {Type: process, Params: {Command: [sh, -c, "echo up; sleep 1000"]}}
"""

GREETING = """
Type: batch
Tasks:
- Name: main
  Engine: {Type: process, Params: {Command: [echo, "{{.greeting}} {{.name}}"]}}
"""


@pytest.mark.parametrize("kind", ["service", "daemon"])
def test_a_job_without_an_end_is_left_once_it_runs(shell: Shell, kind: str) -> None:
    done = shell("job", "run", stdin=ENDLESS.replace("NAME", kind).replace("TYPE", kind))
    assert (done.returncode, "runs until it is stopped" in done.stdout) == (0, True), done.stderr
    again = shell("job", "rerun", kind)
    assert (again.returncode, "runs until it is stopped" in again.stdout) == (0, True), again.stderr
    versions = shell("job", "versions", kind, "--hide-header").stdout.split()
    assert (versions.count("Replaced"), versions.count("Running")) == (1, 1)
    assert shell("job", "stop", kind).returncode == 0


@pytest.mark.parametrize("words", [("-V", "greeting=hi,name=Bob"), ("-V", "greeting=hi", "-V", "name=Bob")])
def test_values_of_a_template_may_stand_in_one_word(shell: Shell, words: tuple[str, ...]) -> None:
    done = shell("job", "run", "-", "--follow", *words, stdin=GREETING)
    assert (done.returncode, done.stdout) == (0, "hi Bob\n"), done.stderr


def test_a_single_value_of_a_template_keeps_its_commas(shell: Shell) -> None:
    done = shell("job", "run", "-", "--follow", "-V", "name=Ann,Bob", "-V", "greeting=hi", stdin=GREETING)
    assert (done.returncode, done.stdout) == (0, "hi Ann,Bob\n"), done.stderr


def test_an_empty_spec_is_called_empty(shell: Shell) -> None:
    done = shell("job", "run")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "Error: the job spec is empty")


def test_a_job_without_results_names_the_program_that_was_called(shell: Shell) -> None:
    spec = "Type: batch\nTasks:\n- Name: main\n  Engine: {Type: noop}\n"
    identity = shell("job", "run", "--id-only", stdin=spec).stdout.strip()
    assert f"bacalhau-jupyter job logs {identity}" in shell("job", "get", identity).stdout


def test_nested_values_of_the_configuration_are_json(shell: Shell) -> None:
    (line,) = [line for line in shell("config", "list").stdout.splitlines() if "API.Auth.Methods" in line]
    assert 'ClientKey={"Type": "challenge"}' in line


def test_a_node_that_runs_no_jobs_shows_no_capacity() -> None:
    nodes = [NodeState(info=NodeInfo(node_id=kind.value, node_type=kind)) for kind in NodeType]
    requester, compute = nodes_table(nodes, groups=("capacity",)).rows
    assert requester[4:] == ("", "", "", "")
    assert "/" in str(compute[4])


def test_a_node_that_runs_does_not_know_what_is_set_now(shell: Shell, served: ServedNode) -> None:
    record = read_record(served.repo)
    assert record is not None
    done = shell("config", "set", "Compute.AllowListedAddresses=localhost:5000")
    assert f"(process {record.pid}) reads it at its next start: `kill {record.pid}` ends it" in done.stdout
