"""What a job's history, states and pages look like over the wire, event by event as an official node sends them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.config.config import Config
from tests.conformance.sequences import JOBS, Caller, Image, Noop
from tests.services.devstack import start_devstack
from tests.services.node import running_node
from tests.services.official import BINARY
from tests.services.official_images import pushed_busybox
from tests.services.official_orchestrator import needs_official
from tests.services.waiting import until

__all__ = ["pushed_busybox"]

ON_NODE = re.compile(" on n(?:ode)?-")
JOB, EXECUTION = "JobLevel", "ExecutionLevel"
CARRIERS = ["memory", "nats", pytest.param("official", marks=needs_official)]


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Start a devstack whose only compute node has joined over NATS; returns the URL of its API."""
    urls: dict[str, str] = {}
    with ExitStack() as ending:

        def start(carrier: str) -> str:
            if carrier not in urls:
                directory = tmp_path_factory.mktemp(carrier)
                words = ("--computes", "1") if carrier == "nats" else ("--computes", "0", "--stock", "1")
                own = {"IGNORE_PID_AND_PORT_FILES": "1", "BACALHAU_STOCK_BINARY": BINARY}
                running = start_devstack(directory, "--nats", *words, env=own)
                ending.callback(running.kill)
                urls[carrier] = f"http://127.0.0.1:{running.until_ready()['BACALHAU_API_PORT']}"
            return urls[carrier]

        yield start


@pytest.fixture(params=CARRIERS)
async def caller(
    request: pytest.FixtureRequest, node_config: Callable[..., Config], stack: Callable[[str], str]
) -> AsyncIterator[Caller]:
    """A cluster of one compute node: of the orchestrator's own process, or one that joined over NATS."""
    if request.param == "memory":
        async with running_node(node_config()) as node:
            headers = {"Authorization": f"Bearer {node.key}"}
            async with aiohttp.ClientSession(node.url, headers=headers) as session:
                yield Caller(session)
        return
    engine = Noop() if request.param == "nats" else Image(request.getfixturevalue("pushed_busybox"))
    url = await asyncio.to_thread(stack, request.param)
    async with aiohttp.ClientSession(url) as session:
        yield Caller(session, engine)


def told(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Level, topic and first line of each event; node IDs are left out."""
    return [
        (item["Type"], item["Event"]["Topic"], ON_NODE.split(item["Event"]["Message"].split("\n")[0])[0])
        for item in events
    ]


SUBMITTED = (JOB, "Submission", "Job submitted")
REQUESTED = (EXECUTION, "Scheduling", "Requested execution")
RUNNING = [(JOB, "State Update", "Running"), (EXECUTION, "Execution", "Running")]
COMPLETED = [(EXECUTION, "Execution", "Completed successfully"), (JOB, "State Update", "Completed")]
SHORT = (JOB, "Scheduling", "not enough nodes to run job. requested: 1, available: 1, suitable: 0.")


@pytest.mark.parametrize("code", [0, 3])
async def test_a_job_that_runs_completes_whatever_its_exit_code(caller: Caller, code: int) -> None:
    job = await caller.submit({"ExitCode": code})
    events = await caller.history(job)
    assert told(events) == [SUBMITTED, REQUESTED, *RUNNING, *COMPLETED]
    assert [item["SeqNum"] for item in events] == [1, 2, 3, 4, 5, 6]
    assert (await caller.state(job))["StateType"] == "Completed"
    (execution,) = (await caller.call("GET", f"{JOBS}/{job}/executions"))["Items"]
    assert (execution["ComputeState"]["StateType"], execution["DesiredState"]["StateType"]) == (9, 2)
    assert (execution["RunOutput"]["ExitCode"], execution["Revision"]) == (code, 4)


async def test_a_job_for_an_engine_that_nobody_has_fails_with_the_text_of_the_event(caller: Caller) -> None:
    job = await caller.submit(Engine={"Type": caller.engine.missing})
    events = await caller.history(job)
    assert told(events) == [SUBMITTED, SHORT]
    assert events[1]["Event"]["Details"] == {
        "IsError": "true",
        "NodesRequested": "1",
        "NodesAvailable": "1",
        "NodesSuitable": "0",
    }
    state = await caller.state(job)
    assert state["StateType"] == "Failed"
    assert state["Message"] == events[1]["Event"]["Message"]
    assert f"does not support {caller.engine.missing}, only" in state["Message"]


async def test_a_bid_that_is_rejected_is_reported_with_its_reason_then_the_job_fails(caller: Caller) -> None:
    job = await caller.submit(task={"Env": {"A": "env:HOME"}})
    events = await caller.history(job)
    assert [topic for _, topic, _ in told(events)] == [
        "Submission",
        "Scheduling",
        "Exec Scanning",
        "Scheduling",
    ]
    assert events[2]["Event"]["Message"] == (
        "rejected bid: this node does not resolve environment variable A: "
        "environment variable 'HOME' is not in allowed patterns"
    )
    assert "job rejected" in events[3]["Event"]["Message"]


async def test_an_engine_failure_is_tried_twice_then_the_job_fails(caller: Caller) -> None:
    job = await caller.submit({"Fail": "it broke"})
    events = told(await caller.history(job))
    failures = [number for number, event in enumerate(events) if caller.engine.complaint in event[2]]
    assert len(failures) == 2
    assert events.count(REQUESTED) == 2
    assert events[-1] == SHORT
    state = await caller.state(job)
    assert "job already executed on this node more than once" in state["Message"]


async def test_stop_ends_the_execution_and_says_who_asked(caller: Caller) -> None:
    job = await caller.submit({"Sleep": 600}, Name="sleeper")
    await caller.state(job, "Running")
    assert (await caller.call("DELETE", f"{JOBS}/sleeper", {"reason": "enough"}))["EvaluationID"]
    assert (await caller.call("DELETE", f"{JOBS}/sleeper", {"reason": "again"}))["EvaluationID"] == ""
    state = await caller.state(job)
    # The details are an addition of ours; official clients ignore them.
    assert state.pop("Details")["Outcome"] == "stopped"
    assert state == {"StateType": "Stopped", "Message": "enough"}
    asked = (JOB, "Scheduling", "Job requested to stop before completion")
    ended = (EXECUTION, "Scheduling", "Execution stop requested because job has been stopped")
    async with asyncio.timeout(60):
        while (events := told(await caller.history(job)))[-1] != ended:
            pass
    assert events == [SUBMITTED, REQUESTED, *RUNNING, asked, ended]


async def test_updates_and_reruns_are_versions_with_histories_of_their_own(caller: Caller) -> None:
    job = await caller.submit(Name="named")
    await caller.state(job)
    task = {"Name": "main", "Engine": caller.engine.spec({})}
    unchanged = {"Name": "named", "Type": "batch", "Count": 1, "Tasks": [task]}
    refused = await caller.call("PUT", JOBS, {"Job": unchanged}, status=409)
    assert refused["Message"].startswith("no changes detected for new job spec. Job Name: 'named'")
    assert refused["Hint"] == "Use the --force flag to override this warning"
    assert await caller.submit(Name="named", force=True) == job
    assert told(await caller.history(job, 2))[0] == (JOB, "Submission", "Job updated")
    await caller.state(job)
    again = await caller.call("PUT", f"{JOBS}/named/rerun", {"JobVersion": 1})
    assert (again["JobID"], again["JobVersion"]) == (job, 3)
    assert told(await caller.history(job, 3))[0] == (JOB, "Submission", "Job rerun requested")
    versions = (await caller.call("GET", f"{JOBS}/named/versions"))["Items"]
    assert [item["Version"] for item in versions] == [1, 2, 3]
    assert len({item["CreateTime"] for item in versions}) == 1


async def test_an_ops_job_runs_without_a_bid(caller: Caller) -> None:
    job = await caller.submit(Type="ops", Count=0)
    assert told(await caller.history(job)) == [
        SUBMITTED,
        (JOB, "State Update", "Running"),
        REQUESTED,
        *COMPLETED,
    ]


async def test_a_daemon_whose_task_ends_is_requested_anew(caller: Caller) -> None:
    job = await caller.submit(Type="daemon", Count=0)
    ended = (EXECUTION, "Execution", "Completed successfully")
    idle = (JOB, "Scheduling", "Job runs on no node.")
    expected = [SUBMITTED, (JOB, "State Update", "Running"), REQUESTED, ended, REQUESTED, ended, idle]

    async def is_over() -> bool:
        return told((await caller.call("GET", f"{JOBS}/{job}/history"))["Items"]) == expected

    await until(is_over)
    failed = 10
    executions = (await caller.call("GET", f"{JOBS}/{job}/executions"))["Items"]
    assert {item["ComputeState"]["StateType"] for item in executions} == {failed}
    assert {item["DesiredState"]["Message"] for item in executions} == {"execution completed unexpectedly"}
    await caller.call("DELETE", f"{JOBS}/{job}", {})
    await caller.state(job, "Stopped")


async def test_pages_carry_their_order_and_end_with_an_empty_token(caller: Caller) -> None:
    names = [f"job-{number}" for number in range(5)]
    for number, name in enumerate(names):
        await caller.submit(Name=name, Labels={"grp": "x", "n": str(number)})
    for reverse, expected in (("false", names), ("True", names[::-1])):
        listed: list[str] = []
        token = ""
        while True:
            page = await caller.call(
                "GET",
                f"{JOBS}?labels=grp%3Dx&order_by=created_at&limit=2&reverse={reverse}&next_token={token}",
            )
            listed += [item["Name"] for item in page["Items"]]
            token, reverse = page["NextToken"], "false"
            if not token:
                break
        assert listed == expected
    picked = await caller.call("GET", f"{JOBS}?labels=grp%3Dx&labels=n%20in%20(1,3)")
    assert [item["Name"] for item in picked["Items"]] == ["job-1", "job-3"]
