"""The noop engine behaves like an engine, without doing anything."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.noop import NoopEngine
from bacalhau_jupyter.models.errors import BadRequest, EngineError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.engine import EndReason, Engine, RunRequest
from bacalhau_jupyter.plugins.logfile import END, STDOUT, read_frames
from bacalhau_jupyter.plugins.options import PluginOptions


def request_of(directory: Path, **params: Any) -> RunRequest:
    task = Task(name="main", engine=SpecConfig(type="noop", params=params))
    execution = Execution(id=f"e-{uuid.uuid4()}", job_id="j-1", job=Job(id="j-1", tasks=[task]))
    return RunRequest(
        execution,
        node_id="n-1",
        env={},
        resources=Resources(),
        inputs=[],
        outputs=[],
        directory=directory,
        log_path=directory / execution.id,
    )


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = NoopEngine(PluginOptions(node_id="n-1", data_dir=tmp_path))
    assert (await engine.probe()).available
    yield engine
    await engine.close()


async def test_it_prints_exits_and_ends_its_log(engine: Engine, tmp_path: Path) -> None:
    request = request_of(tmp_path, Stdout="hello\n", ExitCode=3)
    assert (await engine.bid(request.execution)).accepted
    assert await engine.start(request) == "noop"
    outcome = await engine.wait(request.execution.id)
    assert (outcome.reason, outcome.exit_code, outcome.error) == (EndReason.EXITED, 3, None)
    frames = [(frame.stream, frame.data) for frame in read_frames(request.log_path)]
    assert frames == [(STDOUT, b"hello\n"), (END, b"")]
    assert await engine.existing() == [request.execution.id]
    await engine.clean(request.execution.id)
    assert await engine.existing() == []


async def test_it_fails_with_the_message_that_it_was_given(engine: Engine, tmp_path: Path) -> None:
    request = request_of(tmp_path, Fail="out of cheese")
    await engine.start(request)
    outcome = await engine.wait(request.execution.id)
    assert outcome.reason is EndReason.ERROR
    assert str(outcome.error) == "out of cheese"


async def test_cancelling_ends_a_long_sleep_at_once(engine: Engine, tmp_path: Path) -> None:
    for text, streams in (("", []), ("before\n", [STDOUT, END])):
        request = request_of(tmp_path, Sleep=3600, Stdout=text)
        await engine.start(request)
        await engine.cancel(request.execution.id)
        outcome = await asyncio.wait_for(engine.wait(request.execution.id), 60)
        assert outcome.reason is EndReason.CANCELLED
        assert outcome.silent is not bool(text)
        assert [frame.stream for frame in read_frames(request.log_path)] == streams


async def test_starting_twice_is_one_execution(engine: Engine, tmp_path: Path) -> None:
    request = request_of(tmp_path, Stdout="once\n")
    await asyncio.gather(engine.start(request), engine.start(request))
    await engine.wait(request.execution.id)
    assert [frame.data for frame in read_frames(request.log_path)] == [b"once\n", b""]
    await engine.cancel(request.execution.id)
    assert (await engine.wait(request.execution.id)).reason is EndReason.EXITED


async def test_nothing_of_it_survives_a_restart(engine: Engine, tmp_path: Path) -> None:
    request = request_of(tmp_path, Sleep=3600)
    await engine.start(request)
    restarted = NoopEngine(PluginOptions(node_id="n-1", data_dir=tmp_path))
    assert await restarted.attach(request) is False
    assert await restarted.existing() == []
    with pytest.raises(EngineError, match="does not run"):
        await restarted.wait(request.execution.id)
    await restarted.clean(request.execution.id)


async def test_a_parameter_of_a_wrong_type_is_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="ExitCode"):
        await engine.bid(request_of(tmp_path, ExitCode="three").execution)
