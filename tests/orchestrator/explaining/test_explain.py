"""What people are told about a job that waits, that runs, and that is over."""

from __future__ import annotations

import dataclasses

import pytest

from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Constraint, SpecConfig, replace
from bacalhau_jupyter.models.records.explanation import RemedyKind, Verdict
from bacalhau_jupyter.models.records.outcome import ERROR, Outcome, cause_of
from bacalhau_jupyter.orchestrator.explaining.circumstances import Ahead
from bacalhau_jupyter.orchestrator.explaining.explain import explain
from bacalhau_jupyter.orchestrator.explaining.nodes import Judge
from bacalhau_jupyter.orchestrator.explaining.remedies import meet_constraints
from bacalhau_jupyter.orchestrator.scheduler.placement import Obstacle, Refusal
from tests.orchestrator.explaining.cases import circumstances, explained, running, waiting
from tests.orchestrator.scheduler.world import World


def remedies(world: World, job: Job) -> list[str]:
    return [remedy.text for remedy in explained(world, job).remedies]


def test_the_job_that_holds_the_only_nodes_cpu_is_named() -> None:
    world = World(nodes=1)
    hog = running(world, "hog2", cpu="2")
    job = waiting(world, cpu="1")
    explanation = explained(world, job)
    assert explanation.summary == "waiting for 1 CPU; `hog2` holds it, node has 2"
    assert explanation.outcome is Outcome.WAITING
    (node,) = explanation.nodes
    assert (node.verdict, node.rank) == (Verdict.FULL, 0)
    assert [(item.resource, item.asked, item.free, item.total) for item in node.shortages] == [
        ("CPU", 1, 0, 2)
    ]
    assert [(holder.job_id, holder.name) for holder in node.holders] == [(hog.id, "hog2")]
    (remedy,) = explanation.remedies
    assert (remedy.kind, remedy.text, remedy.job_ids) == (RemedyKind.STOP, "stop `hog2`", [hog.id])


def test_what_is_left_is_said_and_may_be_asked_for() -> None:
    world = World(nodes=1)
    running(world, "hog", cpu="500m")
    job = waiting(world, cpu="2")
    assert explained(world, job).summary == "waiting for 2 CPU, 1.5 is free; `hog` holds the rest, node has 2"
    assert remedies(world, job) == ["stop `hog`", "ask for at most 1.5 CPU"]


def test_several_jobs_are_to_be_stopped_where_one_is_not_enough() -> None:
    world = World(nodes=1)
    for name in ("a", "b", "c", "d"):
        running(world, name, cpu="500m")
    job = waiting(world, cpu="1")
    explanation = explained(world, job)
    assert explanation.summary == "waiting for 1 CPU; `a`, `b`, `c` and 1 more hold it, node has 2"
    assert len(explanation.remedies[0].job_ids) == 2


def test_the_node_that_lacks_least_comes_first_and_is_named_among_several() -> None:
    world = World(nodes=2)
    running(world, "big", cpu="2")
    running(world, "small", cpu="1")
    job = waiting(world, cpu="2")
    explanation = explained(world, job)
    first, second = explanation.nodes
    assert "`small` holds the rest" in explanation.summary
    assert f"{first.node_id} has 2" in explanation.summary
    assert [holder.name for holder in second.holders] == ["big"]


def test_a_job_without_a_name_is_called_by_its_title_else_by_its_short_id() -> None:
    world = World(nodes=1)
    hog = running(world, cpu="2")
    assert f"`{hog.id[:10]}` holds it" in explained(world, waiting(world, cpu="1")).summary


def test_a_node_that_is_too_small_says_how_much_may_be_asked_for() -> None:
    world = World(nodes=1, queue_unsuitable=True)
    job = waiting(world, cpu="8")
    explanation = explained(world, job)
    assert explanation.summary == "no node fits: n-1 is too small: the job asks for 8 CPU of 2"
    assert [(r.kind, r.text) for r in explanation.remedies] == [
        (RemedyKind.ASK_LESS, "ask for at most 2 CPU")
    ]


def test_a_gpu_that_a_vendors_tool_can_not_find_is_told_with_its_reason() -> None:
    world = World(nodes=1, queue_unsuitable=True)
    view = world.nodes["n-1"]
    compute = replace(view.info.compute_node_info, gpu_problems={"nvidia-smi": "it failed with exit code 9"})
    world.nodes["n-1"] = dataclasses.replace(view, info=replace(view.info, compute_node_info=compute))
    job = waiting(world, gpu="1")
    assert explained(world, job).summary == (
        "no node fits: n-1 is too small: the job asks for 1 GPU of 0 (nvidia-smi: it failed with exit code 9)"
    )


def test_labels_that_no_node_has_are_named_and_may_be_left_out() -> None:
    world = World(nodes=1, queue_unsuitable=True)
    job = waiting(world, zone="eu")
    assert explained(world, job).summary == "no node fits: n-1 lacks the labels zone=eu"
    assert remedies(world, job) == ["start a node with the labels zone=eu, or leave that constraint out"]


def test_nobody_is_told_to_start_a_node_where_a_docker_host_is_asked_for() -> None:
    asked = Constraint(key="host", operator="=", values=["gpu1"])
    assert meet_constraints([asked]).text == "let it run elsewhere: leave host=gpu1 out"
    other = Constraint(key="zone", operator="=", values=["eu"])
    assert meet_constraints([asked, other]).text.startswith("start a node with the labels")


def test_who_named_a_host_is_told_of_that_host_only() -> None:
    world = World(nodes=2, queue_unsuitable=True)
    view = world.nodes["n-2"]
    labels = {**view.info.labels, "host": "gpu1"}
    world.nodes["n-2"] = dataclasses.replace(view, info=replace(view.info, labels=labels))
    job = waiting(world, host="gpu1", gpu="1", publisher=SpecConfig(type="ipfs"))
    reasons = {verdict.node_id: verdict.reason for verdict in explained(world, job).nodes}
    # That it lacks a publisher, too, is of no use to anybody.
    assert reasons["n-1"] == "lacks the labels host=gpu1"
    assert explained(world, job).summary == (
        "no node fits: n-2 does not support ipfs, only local, s3, s3managed"
    )


def test_several_nodes_that_do_not_fit_are_counted_by_their_reasons() -> None:
    world = World(nodes=3, queue_unsuitable=True)
    job = waiting(world, cpu="8", zone="eu")
    assert explained(world, job).summary == "no node fits: 3 nodes, 3 lack the labels zone=eu"


def test_no_engine_that_does_nothing_is_recommended() -> None:
    world = World(nodes=1)
    view = world.nodes["n-1"]
    compute = replace(view.info.compute_node_info, execution_engines=["noop", "process"])
    judge = Judge(circumstances(world, waiting(world, engine="docker")))
    verdict = judge.judge(
        dataclasses.replace(view, info=replace(view.info, compute_node_info=compute)),
        Refusal(Obstacle.LACKS_PLUGIN, "does not support docker"),
    )
    assert [remedy.text for remedy in verdict.remedies] == ["use an engine that runs there: process"]


def test_a_publisher_that_no_node_has_is_named() -> None:
    world = World(nodes=1, queue_unsuitable=True)
    job = waiting(world, publisher=SpecConfig(type="ipfs"))
    assert (
        explained(world, job).summary == "no node fits: n-1 does not support ipfs, only local, s3, s3managed"
    )


def test_a_node_that_is_away_is_named_with_what_would_help() -> None:
    world = World(nodes=1)
    world.node("n-1", ready=False)
    job = waiting(world)
    explanation = explained(world, job)
    assert explanation.nodes[0].verdict is Verdict.AWAY
    assert explanation.summary == "waiting for n-1, which is not connected"
    assert remedies(world, job) == ["start the node n-1 again"]


def test_a_node_that_was_rejected_by_a_person_is_listed_too() -> None:
    world = World(nodes=2)
    world.node("n-2", ready=False, rejected=True)
    running(world, "hog", cpu="2")
    explanation = explained(world, waiting(world, cpu="2"))
    assert [(node.node_id, node.reason) for node in explanation.nodes][1] == ("n-2", "was rejected")


def test_a_cluster_without_nodes_says_so() -> None:
    world = World(nodes=0, queue_unsuitable=True)
    job = waiting(world)
    assert explained(world, job).summary == "waiting for a node: this cluster has none"
    assert "serve --compute" in remedies(world, job)[0]


def test_the_nodes_own_objection_is_repeated() -> None:
    world = World(nodes=1, queue_unsuitable=True)
    job = waiting(world)
    (execution,) = world.live(job.id)
    world.bid(execution, "this node does not like it")
    explanation = explained(world, world.job(job.id))
    assert explanation.nodes[0].reason == "refused the job: this node does not like it"


def test_an_image_for_another_platform_is_named_with_both_platforms() -> None:
    world = World(nodes=1, queue_unsuitable=True)
    job = waiting(world)
    (execution,) = world.live(job.id)
    official = (
        "this node does not support the available image platforms [linux/arm64] (supports [linux/amd64])"
    )
    world.bid(execution, official)
    explanation = explained(world, world.job(job.id))
    assert explanation.nodes[0].reason == (
        "refused the job: the image is for linux/arm64, this node is linux/amd64"
    )


def test_a_rejection_for_want_of_room_that_the_account_does_not_explain_is_quoted() -> None:
    world = World(nodes=1)
    job = waiting(world)
    (execution,) = world.live(job.id)
    world.bid(execution, "not enough capacity to run job: disk full")
    explanation = explained(world, world.job(job.id))
    assert explanation.summary == (
        "waiting for n-1, which had no room when it was asked a moment ago: "
        "not enough capacity to run job: disk full"
    )


def test_parts_of_a_job_that_wait_are_counted() -> None:
    world = World(nodes=1)
    job = waiting(world, count=3, cpu="1")
    explanation = explained(world, job)
    assert explanation.summary.startswith("1 of 3 parts: waiting for 1 CPU; ")


def test_a_job_that_runs_says_where_and_why_there() -> None:
    world = World(nodes=2)
    job = running(world, "fine")
    explanation = explained(world, job)
    (execution,) = world.live(job.id)
    assert (
        explanation.summary
        == f"runs on {execution.node_id}, the best of 2 nodes with room for it, of 2 in all"
    )
    assert explanation.nodes[0].verdict is Verdict.RUNS
    assert not explanation.remedies


def test_a_job_of_several_parts_says_on_which_nodes_they_are() -> None:
    world = World(nodes=2)
    job = running(world, "wide", cpu="2", count=2)
    first, second = sorted(item.node_id for item in world.live(job.id))
    assert explained(world, job).summary == f"runs on 2 nodes: {first} and {second}"
    for execution in world.live(job.id):
        world.complete(execution)
    world.settle(job.id)
    assert explained(world, world.job(job.id)).summary == f"succeeded on 2 nodes: {first} and {second}"


def test_a_job_that_is_over_says_how_it_ended_and_why_it_was_where_it_was() -> None:
    world = World(nodes=1)
    job = running(world)
    world.complete(world.live(job.id)[0])
    world.settle(job.id)
    explanation = explained(world, world.job(job.id))
    assert explanation.summary == "succeeded on n-1, the only node"
    assert (explanation.outcome, explanation.nodes[0].verdict) == (Outcome.SUCCEEDED, Verdict.RAN)


def test_a_stopped_job_says_that_it_never_ran() -> None:
    world = World(nodes=1)
    running(world, "hog", cpu="2")
    job = waiting(world, cpu="2")
    world.stop(job.id)
    assert explained(world, world.job(job.id)).summary == "was stopped (enough) before it ran"


def test_a_job_that_failed_because_nothing_fits_repeats_the_stored_reasons() -> None:
    world = World(nodes=1)
    job = waiting(world, cpu="9")
    summary = explained(world, world.job(job.id)).summary
    assert summary.startswith("failed (job requires more CPU (9) than the maximum available (2)")
    assert summary.endswith(") before it ran")


def test_the_nodes_that_refused_before_are_named_with_the_one_that_ran_it() -> None:
    world = World(nodes=2)
    job = waiting(world)
    (first,) = world.live(job.id)
    world.bid(first, "no")
    world.settle(job.id)
    (second,) = world.live(job.id)
    world.bid(second)
    world.settle(job.id)
    summary = explained(world, world.job(job.id)).summary
    assert summary == (
        f"runs on {second.node_id}, the only one of 2 nodes with room for it, after {first.node_id} refused it"
    )


def test_another_persons_job_is_neither_named_nor_advised_to_be_stopped() -> None:
    world = World(nodes=1, capacity=Resources(cpu=2.0, memory=4 * 10**9, disk=10**11))
    hog = running(world, "secret-merger-plan", cpu="2", namespace="board")
    job = waiting(world, cpu="1")

    def mine(namespace: str) -> bool:
        return namespace != "board"

    explanation = explained(world, job, mine)
    assert explanation.summary == "waiting for 1 CPU; another person's job holds it, node has 2"
    assert [remedy.kind for remedy in explanation.remedies] == [RemedyKind.WAIT]
    assert hog.id not in repr(explanation) and "secret" not in repr(explanation)
    with pytest.raises(NotFound, match="job not found"):
        circumstances(world, hog, mine)


def test_a_name_can_not_rewrite_the_sentence_around_it() -> None:
    world = World(nodes=1)
    running(world, "a\u202eb` holds nothing `" + "x" * 200, cpu="2")
    summary = explained(world, waiting(world, cpu="1")).summary
    assert "\u202e" not in summary and "`" not in summary.partition("`")[2].partition("`")[2]
    assert len(summary) < 140


def test_a_job_whose_node_is_lost_gives_one_reason_everywhere() -> None:
    world = World(nodes=1)
    job = running(world)
    world.node("n-1", ready=False, lost=True)
    world.settle(job.id)
    ended = world.job(job.id)
    reason = "Execution stop requested because node has disappeared"
    assert cause_of(ended.state, world.executions(job.id)) == reason
    assert ended.state.details[ERROR] == reason
    assert f"failed ({reason})" in explained(world, job).summary


def test_a_job_for_all_nodes_says_on_how_many_it_runs() -> None:
    world = World(nodes=3)
    world.join("n-away")
    world.node("n-away", ready=False)
    daemon, ops = (world.submit(kind=kind) for kind in ("daemon", "ops"))
    for job in (daemon, ops):
        world.settle(job.id)
    first, *others = world.live(ops.id)
    world.complete(first)
    world.settle(ops.id)
    explanation = explained(world, daemon)
    assert explanation.summary == "runs on 3 of 4 nodes"
    assert [verdict.verdict for verdict in explanation.nodes if verdict.node_id == "n-away"] == [Verdict.AWAY]
    assert explained(world, ops).summary == "runs on 2 of 3 nodes, done on 1"
    for execution in others:
        world.fail(execution)
    world.settle(ops.id)
    assert explained(world, ops).summary == ("failed (boom), done on 1 of 3 nodes")
    world.stop(daemon.id)
    assert explained(world, daemon).summary == "was stopped (enough)"


def test_a_daemon_that_suits_no_node_says_what_is_missing() -> None:
    world = World(nodes=1)
    daemon = world.submit(kind="daemon", zone="a")
    world.settle(daemon.id)
    assert explained(world, daemon).summary.startswith("no node fits: n-1 ")


def test_a_daemon_that_ended_twice_says_so_and_what_would_make_it_run() -> None:
    world = World(nodes=2)
    daemon = world.submit(kind="daemon")
    world.settle(daemon.id)

    def end_on(node_id: str) -> None:
        (execution,) = [item for item in world.live(daemon.id) if item.node_id == node_id]
        world.complete(execution, exit_code=3)
        world.settle(daemon.id)

    end_on("n-1")
    explanation = explained(world, daemon)
    assert explanation.summary == "runs on 1 of 2 nodes"
    reasons = {verdict.node_id: verdict.reason for verdict in explanation.nodes}
    assert reasons["n-1"] == "starts it again in a moment: it ended (execution completed unexpectedly)"
    world.clock.advance(10)
    world.settle(daemon.id)
    end_on("n-1")
    end_on("n-2")
    world.clock.advance(10)
    world.settle(daemon.id)
    reason = "is not asked a third time: it ended there twice in a row, the last time with exit code 3"
    again = f"see why it ended (job logs {daemon.id[:10]}), then run it again: job rerun {daemon.id[:10]}"
    explanation = explained(world, daemon)
    assert explanation.summary == f"runs on 1 of 2 nodes; n-1 {reason}"
    assert [remedy.text for remedy in explanation.remedies] == [again]
    end_on("n-2")
    world.clock.advance(10)
    world.settle(daemon.id)
    explanation = explained(world, daemon)
    assert explanation.summary.startswith("runs on 0 of 2 nodes; 2 are not asked a third time")
    assert [remedy.text for remedy in explanation.remedies] == [again]


def test_a_daemon_that_was_refused_says_by_whom() -> None:
    world = World(nodes=1)
    daemon = world.submit(kind="daemon")
    world.settle(daemon.id)
    world.bid(world.live(daemon.id)[0], "no such image")
    world.settle(daemon.id)
    assert explained(world, daemon).summary == "runs on 0 of 1 node; n-1 refused the job: no such image"


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (Ahead(), "holds it, node has 2"),
        (Ahead(1, ["first"]), "; behind `first` of the same or a higher priority"),
        (Ahead(1), "; behind one job of the same or a higher priority"),
        (Ahead(2, ["a", "b"]), "; behind 2 jobs (`a` and `b`) of the same or a higher priority"),
        (Ahead(3, ["a", "b", "c"]), "; behind 3 jobs (`a`, `b` and `c`) of the same or a higher priority"),
        (
            Ahead(1200, [*"abcdef"]),
            "; behind 1,200 jobs (`a`, `b`, `c` and 1,197 more) of the same or a higher",
        ),
        (Ahead(3, ["a"]), "; behind 3 jobs (`a` and 2 more) of the same or a higher priority"),
        (Ahead(3), "; behind 3 jobs of the same or a higher priority"),
        (Ahead(1, ["x`\n\u202e"]), "; behind `x'\\n\\u202e` of the same"),
    ],
)
def test_the_jobs_that_go_first_are_named(ahead: Ahead, words: str) -> None:
    world = World(nodes=1)
    running(world, "hog", cpu="2")
    job = waiting(world, "patient", cpu="1")
    assert words in explain(dataclasses.replace(circumstances(world, job), ahead=ahead)).summary


def test_the_queue_is_no_reason_where_no_node_fits() -> None:
    world = World(nodes=1)
    job = waiting(world, "large", cpu="8")
    assert "behind" not in explain(dataclasses.replace(circumstances(world, job), ahead=Ahead(2))).summary
