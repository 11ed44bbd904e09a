"""Removing what a Docker Engine has of executions that are over."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.engines.containers import sweeping
from bacalhau_jupyter.engines.containers.handed_over import HandedOver
from bacalhau_jupyter.models.errors import EngineError, NetworkFailure
from tests.services.waiting import until


@pytest.fixture
def notes(tmp_path: Path) -> HandedOver:
    """Notes of two executions that were given up."""
    given_up = tmp_path / "given-up"
    given_up.mkdir()
    for name in ("e-1", "e-2"):
        (given_up / name).write_text("{}")
    return HandedOver(tmp_path / "notes", given_up)


async def test_an_execution_that_docker_keeps_holds_no_other_up(
    notes: HandedOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "RETRY_S", (3600.0, 3600.0))

    async def remove(execution_id: str) -> None:
        if execution_id == "e-1":
            raise EngineError("a device of its container is busy")
        notes.forget(execution_id)

    sweeper = sweeping.Sweeper(notes, remove)
    sweeper.wake()
    await until(lambda: notes.given_up() == ["e-1"])
    await sweeper.close()


async def test_an_engine_that_does_not_answer_is_asked_once_in_a_while(
    notes: HandedOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "RETRY_S", (3600.0, 3600.0))
    asked: list[str] = []

    async def remove(execution_id: str) -> None:
        asked.append(execution_id)
        raise NetworkFailure("Docker does not answer")

    sweeper = sweeping.Sweeper(notes, remove)
    sweeper.wake()
    await until(lambda: asked == ["e-1"])
    sweeper.wake()
    await until(lambda: asked == ["e-1", "e-1"])
    await sweeper.close()
