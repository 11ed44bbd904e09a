"""Reports that are too long, at impossible times, about the wrong execution."""

from __future__ import annotations

import logging

import pytest

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.jobs.spec import Port, SpecConfig, replace
from bacalhau_jupyter.models.records.execution import RUN_OUTPUT_LIMIT, ExecutionStateType, RunCommandResult
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import BidResult, ComputeError, RunResult
from bacalhau_jupyter.orchestrator.peers.reported import (
    EVENTS_LIMIT,
    NODE_TIME,
    PORTS_LIMIT,
    TEXT_LIMIT,
    bounded,
    by_our_clock,
)
from bacalhau_jupyter.orchestrator.reports import store_report
from tests.orchestrator.peers.test_late import started
from tests.orchestrator.scheduler.world import World

NOON = 1_790_000_000 * SECOND
HOUR = 3600 * SECOND


def test_a_report_of_megabytes_is_cut_to_what_is_kept() -> None:
    event = Event(message="x" * 10**6, topic="t" * 10**4, details={str(n): "y" * 10**5 for n in range(200)})
    error = bounded(ComputeError(execution_id="e", events=[event] * 500))
    assert error.events is not None and len(error.events) == EVENTS_LIMIT
    assert len(error.events[0].message) == TEXT_LIMIT
    assert sum(len(text) for text in error.events[0].details.values()) <= TEXT_LIMIT * 50
    result = bounded(RunResult(run_command_result=RunCommandResult(stdout="ä" * 10**6, stderr="short")))
    output = result.run_command_result
    assert output is not None
    assert (len(output.stdout.encode()), output.stdout_truncated) == (RUN_OUTPUT_LIMIT, True)
    assert (output.stderr, output.stderr_truncated) == ("short", False)
    bid = bounded(BidResult(ports=[Port(name=f"p{n}", static=n + 1) for n in range(5000)]))
    assert len(bid.ports) == PORTS_LIMIT


def test_a_report_of_an_ordinary_size_stays_as_it_is() -> None:
    events = [Event(message="failed", topic="Running Execution", details={"IsError": "true"})]
    report = ComputeError(execution_id="e", events=events)
    assert bounded(report) == report


@pytest.mark.parametrize("hours", [1, -1])
def test_times_of_a_wrong_clock_are_replaced_and_kept_beside(hours: int) -> None:
    made, now = NOON, NOON + 10 * SECOND
    times = [made + 2 * SECOND + hours * HOUR, made + 8 * SECOND + hours * HOUR]
    events, ahead = by_our_clock([Event(timestamp=rfc3339(time)) for time in times], made, now)
    assert [event.timestamp for event in events] == [rfc3339(now - 6 * SECOND), rfc3339(now)]
    assert [event.details[NODE_TIME] for event in events] == [rfc3339(time) for time in times]
    assert abs(ahead - hours * HOUR) <= 10 * SECOND


def test_times_of_a_right_clock_stay_also_where_the_report_comes_late() -> None:
    events = [Event(timestamp=rfc3339(NOON + 5 * SECOND)), Event(timestamp="")]
    assert by_our_clock(events, NOON, NOON + HOUR) == (events, 0)


@pytest.mark.parametrize("time", ["", "yesterday", "2026-99-99T00:00:00Z", "0000-01-01T00:00:00Z"])
def test_a_time_that_is_none_breaks_nothing(time: str) -> None:
    events = [Event(timestamp=time)]
    assert by_our_clock(events, NOON, NOON) == (events, 0)


def test_the_history_of_a_node_an_hour_ahead_is_in_order() -> None:
    world = World(nodes=1)
    job = world.submit()
    world.settle(job.id)
    execution = world.live()[0]
    transaction = world.transaction()
    late = Event(message="failed", topic="Running Execution", timestamp=rfc3339(transaction.now_ns + HOUR))
    message = ComputeError(execution_id=execution.id, job_id=job.id, events=[late])
    assert store_report(transaction, "n-1", message) == HOUR
    rows = world.connection.execute("SELECT json_extract(event, '$.Timestamp') FROM history ORDER BY seq")
    times = [row[0] for row in rows]
    assert times == sorted(times)


def test_a_report_about_the_execution_of_another_node_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(nodes=2)
    execution = started(world)
    before = world.executions(execution.job_id), world.messages(execution.job_id)
    imposter = replace(execution, node_id="n-imposter")
    with caplog.at_level(logging.WARNING):
        world.complete(imposter)
        world.fail(imposter)
        world.bid(imposter)
    assert (world.executions(execution.job_id), world.messages(execution.job_id)) == before
    assert f"node n-imposter reported about execution {execution.id}, which is that of node" in caplog.text


def test_a_reference_to_a_result_of_a_megabyte_is_a_failure_with_the_size() -> None:
    world = World(nodes=1)
    execution = started(world)
    huge = SpecConfig(type="ipfs", params={"CID": "x" * 10**6})
    world.report(
        execution, RunResult(execution_id=execution.id, job_id=execution.job_id, publish_result=huge)
    )
    state = world.executions(execution.job_id)[0].compute_state
    assert state.state_type is ExecutionStateType.FAILED
    assert "1,000,0" in state.message and "65,536 are the most" in state.message
