"""A host whose clock is an hour off, or is set by an hour while a job runs: limits and times are by our clock."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.wire.messages import ComputeError, RunResult
from tests.compute.far import HELD, FarBench, far_bench
from tests.services.waiting import lasts

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.timeout(300),
]
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_QUESTION = re.compile(rb"((?:since|until)=)(\d{10})")
LIMIT_S = 15


class Clock:
    """Sets the times that an engine tells and is asked for, as if its machine's clock were ahead of ours.

    What was dated before the clock was set keeps its date.
    """

    def __init__(self) -> None:
        self.changes: list[tuple[float, int]] = []

    def set(self, hours: int) -> None:
        """Let the clock be so many hours ahead from now on."""
        self.changes.append((time.time(), hours))

    def back(self, piece: bytes) -> bytes:
        return _STAMP.sub(lambda match: self._told(match[0]), piece)

    def there(self, piece: bytes) -> bytes:
        return _QUESTION.sub(lambda match: match[1] + str(self._meant(int(match[2]))).encode(), piece)

    def _told(self, stamp: bytes) -> bytes:
        moment = datetime.strptime(stamp.decode(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        hours = next((hours for at, hours in reversed(self.changes) if moment.timestamp() >= at - 1), 0)
        if moment.year < 2000:
            return stamp
        return (moment + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S").encode()

    def _meant(self, seconds: int) -> int:
        hours = self.changes[-1][1] if self.changes else 0
        return seconds - 3600 * hours


@pytest.fixture
async def node(docker_engine: str, busybox_image: str, tmp_path: Path) -> AsyncIterator[FarBench]:
    if not docker_engine.startswith("unix://"):
        pytest.skip("the engine has no socket whose times could be changed")
    async with far_bench(tmp_path, docker_engine, busybox_image) as it:
        yield it


@pytest.fixture
def clock(node: FarBench) -> Clock:
    it = Clock()
    node.link.socket.there, node.link.socket.back = it.there, it.back
    return it


async def is_in_order(node: FarBench, began_ns: int, text: str) -> None:
    """See that a job has completed, with times of our clock and a whole log."""
    result = await node.ends()
    assert isinstance(result, RunResult), result
    (stdout,) = [files["stdout"] for files in node.publisher.published.values()]
    assert stdout == text
    details = (result.events or [])[-1].details
    started_ns, exited_ns = (parse_rfc3339(details[name]) for name in ("Started", "Exited"))
    assert began_ns - 2 * SECOND <= started_ns <= exited_ns <= time.time_ns() + 2 * SECOND


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_an_hour_off_changes_no_limit(node: FarBench, clock: Clock, hours: int) -> None:
    clock.set(hours)
    await node.crash()
    # As it finds the engine, a node compares the clocks.
    await node.restart()
    began_ns = time.time_ns()
    execution = await node.begin(
        node.shell(f"echo up; {HELD}; echo done", timeouts=Timeouts(execution_timeout=LIMIT_S))
    )
    await node.prints(execution, "up\n")
    node.link.cut()
    await node.let_go()
    await node.ended(execution)
    await node.stays_away(LIMIT_S)
    node.link.heal()
    await is_in_order(node, began_ns, "up\ndone\n")
    late = await node.begin(node.shell("sleep 600", timeouts=Timeouts(execution_timeout=3)))
    result = await node.ends()
    assert isinstance(result, ComputeError), result
    assert (result.execution_id, (result.events or [])[0].message) == (
        late.id,
        "Execution timed out after 3s",
    )


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("is_cut", [False, True])
async def test_a_clock_that_is_set_while_a_job_runs_changes_no_limit(
    node: FarBench, clock: Clock, hours: int, is_cut: bool
) -> None:
    began_ns = time.time_ns()
    execution = await node.begin(
        node.shell(f"echo up; {HELD}; echo done", timeouts=Timeouts(execution_timeout=LIMIT_S))
    )
    await node.prints(execution, "up\n")
    # The start is clearly before the change.
    await lasts(1.5)
    clock.set(hours)
    if is_cut:
        node.link.cut()
    await node.let_go()
    if is_cut:
        await node.ended(execution)
        await node.stays_away(LIMIT_S)
        node.link.heal()
    await is_in_order(node, began_ns, "up\ndone\n")
