"""Engines that lie, never end and never answer: what a node makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.compute.host.far import FarMachine
from bacalhau_jupyter.engines.docker import connecting
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.link.plain import PlainLink
from bacalhau_jupyter.engines.docker.link.step import examine
from bacalhau_jupyter.engines.docker.link.target import PlainTarget
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict, NetworkFailure, NotFound
from bacalhau_jupyter.models.records.host_orders import AddHost, CleanHost, PushImage
from bacalhau_jupyter.models.records.hosts import HostFacts
from bacalhau_jupyter.models.text import is_readable
from bacalhau_jupyter.node.hosts import questions
from bacalhau_jupyter.node.hosts.questions import DockerQuestions
from bacalhau_jupyter.node.hosts.register import Register
from bacalhau_jupyter.node.node import Node
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.hostile import INFO, HostileEngine, hostile_engine
from tests.services.far_host import FarHost
from tests.services.node import running_node

pytestmark = pytest.mark.timeout(240)
NONSENSE: tuple[object, ...] = (
    True,
    -1,
    10**30,
    10**400,
    float("inf"),
    "x\x1b[31m\u202e<img>",
    "9" * 100_000,
    [1],
    [None],
    {"a": 1},
    [{"DeviceIDs": 5}],
)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[HostileEngine]:
    async with hostile_engine(tmp_path) as it:
        yield it


async def facts(engine: HostileEngine) -> HostFacts:
    """Ask it as a host is asked; what is raised is an error for people."""
    clock = SystemClock()
    link = PlainLink("gpu1", PlainTarget(engine.url), clock=clock)
    await link.start()
    try:
        await link.ready()
        asked = DockerQuestions("gpu1", "n-here", lambda: Endpoint(engine.url, "host gpu1"), clock)
        return await FarMachine(link, asked, "n-here", clock).ask()
    finally:
        await link.close()


def in_info(engine: HostileEngine, member: str, value: object) -> None:
    engine.info(**{member: value})


def in_limits(engine: HostileEngine, member: str, value: object) -> None:
    engine.answers["/containers/json"] = [{"Id": "a"}]
    engine.answers["/containers/a/json"] = {"HostConfig": {member: value}}


def as_answer(engine: HostileEngine, path: str, value: object) -> None:
    engine.answers[path] = value


@pytest.mark.parametrize(
    ("say", "member"),
    [
        *((in_info, member) for member in (*INFO, "DiscoveredDevices", "Plugins")),
        *((in_limits, member) for member in ("NanoCpus", "Memory", "DeviceRequests")),
        *((as_answer, path) for path in ("/info", "/version", "/containers/json", "/containers/a/json")),
    ],
)
async def test_nonsense_is_left_out_or_told(
    engine: HostileEngine,
    say: Callable[[HostileEngine, str, object], None],
    member: str,
    tmp_path: Path,
) -> None:
    for value in NONSENSE:
        say(engine, member, value)
        try:
            seen = await facts(engine)
        except BacalhauError as error:
            assert error.message
        else:
            assert len(encode(seen)) < 10_000
            assert is_readable(seen.machine + seen.engine + seen.os + seen.architecture)
        steps = examine("gpu1", PlainTarget(engine.url), runtime_dir=tmp_path, clock=SystemClock())
        async for step in steps:
            assert len(step.sentence) < 1000, step
            assert is_readable(step.sentence), step


@pytest.mark.parametrize("path", ["/version", "/info", "/containers/json"])
async def test_an_answer_without_end_is_not_read_on(
    engine: HostileEngine, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "ANSWER_LIMIT", 4 << 20)
    engine.answers[path] = engine.endless
    with pytest.raises(NetworkFailure, match="no end"):
        await facts(engine)
    assert engine.sent < 32 << 20


async def test_an_engine_that_takes_its_time_has_one_thread(
    engine: HostileEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "ASK_S", -29.0)
    engine.answers["/info"] = engine.drip
    asked = DockerQuestions("gpu1", "n-here", lambda: Endpoint(engine.url, "host gpu1"), SystemClock())
    for _ in range(3):
        with pytest.raises(NetworkFailure, match="longer than"):
            await asked.ask(disk=False)
    assert engine.dripping == 1


async def test_an_engine_sends_us_nowhere_else(engine: HostileEngine) -> None:
    asked = []

    async def elsewhere(writer: object) -> None:
        asked.append("elsewhere")

    engine.answers["/containers/json"] = engine.redirect("/elsewhere")
    engine.answers["/elsewhere"] = elsewhere
    with pytest.raises(BacalhauError):
        await facts(engine)
    assert not asked


async def test_a_host_that_talks_nonsense_is_tried_without_a_fault_of_ours(
    api: AsyncAPI, engine: HostileEngine
) -> None:
    engine.info(MemTotal="much")
    tried = await api.hosts.try_out(AddHost(name="bad", url=engine.url))
    assert [step.ok for step in tried.steps] == [True] * len(tried.steps)
    engine.answers["/info"] = [1]
    with pytest.raises(BadRequest, match="was not added"):
        await api.hosts.add(AddHost(name="bad", url=engine.url))
    assert (await api.hosts.list()).items == []


async def test_a_node_that_is_at_work_here_is_not_cleaned_away(
    node: Node, api: AsyncAPI, engine: HostileEngine
) -> None:
    await api.hosts.add(AddHost(name="same", url=engine.url, anyway=True))
    with pytest.raises(Conflict, match="is at work in this process"):
        await api.hosts.clean("same", CleanHost(remove=[node.node_id]))


async def test_a_verb_keeps_what_a_person_has_just_written(
    node_config: MakeConfig, engine: HostileEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing tells of changes here, as on some file systems.
    monkeypatch.setattr(Register, "watch", lambda register: asyncio.Event().wait())
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        await api.hosts.add(AddHost(name="gpu1", url=engine.url, anyway=True))
        file = node.repo.path / "hosts.yaml"
        file.write_text(f"hosts:\n  gpu1: {{url: '{engine.url}', labels: {{room: cellar}}}}\n")
        assert (await api.hosts.pause("gpu1")).labels == {"room": "cellar"}
        assert "cellar" in file.read_text()


async def test_an_engine_that_makes_nothing_is_refused_as_the_caller_s(
    api: AsyncAPI, engine: HostileEngine
) -> None:
    await api.hosts.add(AddHost(name="gpu1", url=engine.url))
    with pytest.raises(BadRequest, match="gpu2 was not added: no /volumes/create"):
        await api.hosts.add(AddHost(name="gpu2", url=engine.url))


@pytest.mark.docker
async def test_an_image_that_nobody_has_is_not_found(
    docker_engine: str, api: AsyncAPI, engine: HostileEngine
) -> None:
    await api.hosts.add(AddHost(name="gpu1", url=engine.url))
    with pytest.raises(NotFound, match="has no image"):
        await api.hosts.push("gpu1", PushImage(image="no-such-image:1"))


async def test_a_login_shell_without_end_and_forged_marks_are_not_believed(
    far_host: FarHost, api: AsyncAPI
) -> None:
    # What it prints before our script looks like our script's answer, and is a gigabyte.
    forged = "@@begin cpu\n4096\n@0123 disk\n/ 1 1 999999999999999 1% /\n@0123 end\n"
    home = "/home/alice/.bashrc"
    kept = far_host.shell(f"cat {home}")
    far_host.write(home, f"printf '{forged}'; head -c 1000000000 /dev/zero | tr '\\0' 'x'\n")
    before = psutil.Process().memory_info().rss
    try:
        try:
            added = await api.hosts.add(order(far_host))
        except BadRequest as error:
            assert "was not added" in error.message
        else:
            assert added.facts is not None
            assert added.facts.resources.cpu < 4096
            assert added.facts.resources.disk < 999999999999999
        assert psutil.Process().memory_info().rss - before < 300 << 20
    finally:
        far_host.write(home, kept)
