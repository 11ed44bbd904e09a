"""Somebody sets this machine's clock while a Docker Engine is asked what it has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.lib.clock import SECOND, SystemClock
from bacalhau_jupyter.node.hosts.questions import DockerQuestions
from tests.services import docker_engine as services

HOUR_NS = 3600 * SECOND


class SetClock(SystemClock):
    """A clock that is set by an hour, forth or back, each time that it was read."""

    def __init__(self, jump_ns: int) -> None:
        self._jumps = itertools.count(0, jump_ns)

    def now_ns(self) -> int:
        return super().now_ns() + next(self._jumps)


@pytest.fixture
def container(docker_engine: str, busybox_image: str) -> Iterator[str]:
    """A container of somebody else that holds some of the machine."""
    client = services.client(docker_engine)
    running = client.containers.run(busybox_image, ["sleep", "600"], detach=True, mem_limit="16m")
    yield str(running.id)
    running.remove(force=True)
    client.close()


@pytest.mark.docker
@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS])
async def test_what_others_hold_is_seen_whatever_the_clock_does(
    docker_engine: str, container: str, jump_ns: int
) -> None:
    questions = DockerQuestions("gpu1", "n", lambda: Endpoint(docker_engine, "here"), SetClock(jump_ns))
    answer = await questions.ask(disk=False)
    assert 0 <= answer.answered_ns - answer.asked_ns < 60 * SECOND
    assert container in {each.get("Id") for each in answer.containers}
