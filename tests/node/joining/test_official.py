"""A node of ours that runs the jobs of an unmodified official orchestrator, whose own client looks at them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.node.joining.official_jobs import answer_of, joined, live, shell
from tests.services.common import wait_until
from tests.services.node_fixtures import NodeFactory
from tests.services.official_orchestrator import TIMEOUT_S, OfficialOrchestrator, needs_official

pytestmark = needs_official

LASTING = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done"


def test_a_job_runs_and_the_official_client_shows_its_output_and_fetches_its_files(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator, tmp_path: Path
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    script = "echo out; echo err >&2; echo 42 > outputs/answer"
    job = official_orchestrator.submit(
        shell(
            "files",
            script,
            Publisher={"Type": "local"},
            ResultPaths=[{"Name": "outputs", "Path": "/outputs"}],
        )
    )
    assert official_orchestrator.wait_for(job, "Completed", "Failed") == "Completed"
    shown = official_orchestrator.cli("job", "logs", job)
    assert {"out", "err"} <= set(shown.stdout.split()), shown
    place = tmp_path / "fetched"
    place.mkdir()
    fetched = official_orchestrator.cli("job", "get", job, "--output-dir", str(place))
    assert fetched.returncode == 0, fetched
    assert (place / "outputs" / "answer").read_text() == "42\n"
    assert (place / "stdout").read_text() == "out\n"


def test_an_image_runs(
    node_factory: NodeFactory,
    official_orchestrator: OfficialOrchestrator,
    docker_engine: str,
    busybox_image: str,
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    done = official_orchestrator.cli("docker", "run", "--wait", busybox_image, "--", "sh", "-c", "exit 3")
    (job,) = official_orchestrator.ask("jobs")["Items"]
    assert job["State"]["StateType"] == "Completed", done
    (execution,) = official_orchestrator.executions(job["ID"])
    assert execution["RunOutput"]["ExitCode"] == 3


def test_jobs_of_the_other_types_run_until_they_are_stopped_and_several_follow_their_output(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator
) -> None:
    node = joined(node_factory, official_orchestrator)
    official_orchestrator.wait_connected(node.repo.node_name())
    short = official_orchestrator.submit(shell("short", "echo here", kind="ops"))
    assert official_orchestrator.wait_for(short, "Completed", "Failed") == "Completed"
    lasting = [
        official_orchestrator.submit(shell(kind, LASTING, kind=kind)) for kind in ("service", "daemon")
    ]
    for job in lasting:
        official_orchestrator.wait_for(job, "Running")
        # A job runs from when a node has said yes; its program begins later, and before there is nothing to follow.
        assert wait_until(partial(has_begun, official_orchestrator, job), timeout_s=TIMEOUT_S)
    followers = [official_orchestrator.follow(job) for job in lasting * 2]
    try:
        for follower in followers:
            assert follower.stdout is not None
            assert any("line 2" in line for line in follower.stdout)
        for job in lasting:
            assert official_orchestrator.cli("job", "stop", job).returncode == 0
            assert official_orchestrator.wait_for(job, "Stopped") == "Stopped"
        for follower in followers:
            follower.wait(TIMEOUT_S)
    finally:
        for follower in followers:
            follower.kill()
            follower.communicate()
    assert wait_until(lambda: not live(node), timeout_s=TIMEOUT_S)


def has_begun(official: OfficialOrchestrator, job: str) -> bool:
    return "line" in official.cli("job", "logs", job).stdout


def test_a_rejected_node_gets_no_job_until_it_is_approved(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator
) -> None:
    node = joined(node_factory, official_orchestrator)
    name = node.repo.node_name()
    official_orchestrator.wait_connected(name)
    assert official_orchestrator.cli("node", "reject", name).returncode == 0
    refused = official_orchestrator.submit(shell("refused", "true"))
    assert official_orchestrator.wait_for(refused, "Failed") == "Failed"
    assert official_orchestrator.cli("node", "approve", name).returncode == 0
    official_orchestrator.wait_connected(name)
    taken = official_orchestrator.submit(shell("taken", "true"))
    assert official_orchestrator.wait_for(taken, "Completed", "Failed") == "Completed"


def test_the_node_itself_answers_the_official_client_and_says_who_places_jobs(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator
) -> None:
    node = joined(node_factory, official_orchestrator)
    for verb in ("node", "version", "alive", "config"):
        answer = official_orchestrator.cli("agent", verb, "--api-port", str(node.port))
        assert answer.returncode == 0, answer
    status, body = answer_of(node, "/api/v1/orchestrator/jobs")
    assert status == 404
    assert f"the orchestrator at {official_orchestrator.link} places them" in str(body)
    assert official_orchestrator.token not in node.output.read_text()
