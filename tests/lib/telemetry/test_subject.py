"""What log lines are about, in tasks and threads too."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.output.follower import Follower
from bacalhau_jupyter.lib.telemetry.subject import about, fields
from bacalhau_jupyter.lib.telemetry.trace import CURRENT, Link
from bacalhau_jupyter.node.logs import JsonFormatter, PlainFormatter

NAMED = {"JobID": "j-1", "ExecutionID": "e-1"}


def line(**more: Any) -> logging.LogRecord:
    return logging.LogRecord("node", logging.INFO, __file__, 1, "it is over", (), more.get("error"))


def test_a_line_is_about_what_surrounds_it_and_about_nothing_else() -> None:
    with about(job="j-1", execution="e-1"):
        assert fields() == NAMED
        with about(job="j-2"):
            assert fields() == {"JobID": "j-2"}
    assert fields() == {}


def test_text_has_the_names_at_the_end_of_the_line_and_a_traceback_below() -> None:
    error = ValueError("no")
    with about(job="j-1", execution="e-1"):
        record = line(error=(ValueError, error, None))
        first, *rest = PlainFormatter("%(message)s").format(record).splitlines()
    assert first == "it is over JobID=j-1 ExecutionID=e-1"
    assert rest == ["  ValueError: no"]


def test_json_has_members_also_of_the_trace() -> None:
    token = CURRENT.set(Link(1, 2))
    with about(job="j-1"):
        text = JsonFormatter().format(line())
    CURRENT.reset(token)
    assert '"JobID": "j-1", "trace_id": "00000000000000000000000000000001"' in text


async def test_tasks_and_threads_that_begin_here_are_about_the_same() -> None:
    with about(job="j-1", execution="e-1"):
        task = asyncio.create_task(asyncio.to_thread(fields))
    assert await task == NAMED
    assert fields() == {}


def test_the_thread_that_follows_a_container_is_about_its_execution(tmp_path: Path) -> None:
    class Told(Follower):
        seen: dict[str, str]

        def _run(self) -> None:
            self.seen = fields()
            self.outcome.set_result(None)  # type: ignore[arg-type]

    class Engine:
        loses_newlines = False

    with about(job="j-1", execution="e-1"):
        follower = Told(Engine(), "c-1", tmp_path / "log")  # type: ignore[arg-type]
    follower.start()
    follower.outcome.result(30)
    assert follower.seen == NAMED
