from __future__ import annotations

import asyncio
from typing import Literal

from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import Availability
from tests.compute.peer import StubPublisher, StubSource, World, WorldEngine


class Probed(WorldEngine):
    """An engine whose probe does what it is told."""

    def __init__(self, answer: Availability | Exception | None) -> None:
        super().__init__(World())
        self.answer = answer

    async def probe(self) -> Availability:
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


async def test_what_does_not_work_here_is_named_with_its_reason() -> None:
    plugins = Plugins(
        {
            "World": Probed(Availability(True, "world 1.0")),
            "docker": Probed(Availability(False, problem="permission denied on /var/run/docker.sock")),
            "slow": Probed(None),
            "broken": Probed(KeyError("x")),
            "told": Probed(EngineError("its kernel is too old")),
        },
        {"fake": StubSource()},
        {"stub": StubPublisher()},
        {"wasm": 'needs the package wasmtime: pip install "bacalhau-jupyter[wasm]"'},
    )
    await plugins.probe(timeout_s=0.05)
    assert plugins.names() == (["world"], ["fake"], ["stub"])
    runtimes, problems = plugins.runtimes()
    assert runtimes == {"world": "world 1.0"}
    assert problems == {
        "docker": "permission denied on /var/run/docker.sock",
        "slow": "it did not answer within 0.05s",
        "broken": "its probe failed: 'x'",
        "told": "its kernel is too old",
        "wasm": 'needs the package wasmtime: pip install "bacalhau-jupyter[wasm]"',
    }
    assert plugins.objection(plugins.engine("WORLD"), "WORLD", []) == ""
    assert plugins.objection(plugins.engine("docker"), "docker", []) == (
        "this node does not support docker: permission denied on /var/run/docker.sock"
    )
    assert plugins.objection(plugins.engine("wasm"), "wasm", []) == (
        'this node does not support wasm: needs the package wasmtime: pip install "bacalhau-jupyter[wasm]"'
    )
    assert plugins.objection(None, "exotic", ["world"]) == "this node does not support exotic, only world"


async def test_a_source_of_several_types_is_found_under_each_and_listed_once() -> None:
    source = StubSource()
    source.types = ("localdirectory", "local")
    plugins = Plugins({}, {"localDirectory": source}, {})
    await plugins.probe(timeout_s=60)
    assert plugins.source("LocalDirectory") is source
    assert plugins.source("local") is source
    assert plugins.names() == ([], ["localdirectory"], [])


async def test_a_silent_plugin_does_not_hold_up_the_start_and_counts_when_it_answers() -> None:
    silent, answer = Probed(None), asyncio.Event()

    async def late() -> Availability:
        await answer.wait()
        return Availability(True, "late 1.0")

    silent.probe = late  # type: ignore[method-assign]
    plugins = Plugins({"silent": silent, "world": Probed(Availability(True, "world 1.0"))}, {}, {})
    async with asyncio.timeout(60):
        await plugins.probe(timeout_s=60, patience_s=0.05)
    assert plugins.runtimes() == ({"world": "world 1.0"}, {"silent": "it has not answered yet"})
    changes = asyncio.Queue[None]()
    watching = asyncio.create_task(plugins.watch(60, lambda: changes.put_nowait(None)))
    answer.set()
    async with asyncio.timeout(60):
        await changes.get()
        await watching
    assert plugins.names()[0] == ["silent", "world"]
    await plugins.close(1)


async def test_the_start_waits_for_an_engine_that_asks_this_machine_alone() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    class Local(Probed):
        needs_no_service: Literal[True] = True

        async def probe(self) -> Availability:
            asked.set()
            await answer.wait()
            return Availability(True, "local 1.0")

    plugins = Plugins({"local": Local(None), "silent": Probed(None)}, {}, {})
    starting = asyncio.create_task(plugins.probe(timeout_s=60, patience_s=0.0))
    async with asyncio.timeout(60):
        await asked.wait()
        # The patience is over, and the silent one is not waited for.
        assert await asyncio.wait({starting}, timeout=0.2) == (set(), {starting})
        answer.set()
        await starting
    assert plugins.runtimes() == ({"local": "local 1.0"}, {"silent": "it has not answered yet"})
    await plugins.close(1)


async def test_what_may_work_later_is_asked_again_until_it_does_and_nothing_else_is() -> None:
    asked = {"docker": 0, "never": 0}

    class Counted(Probed):
        async def probe(self) -> Availability:
            name = "docker" if self.answer is None else "never"
            asked[name] += 1
            if self.answer is not None:
                return await super().probe()
            there = asked[name] == 3
            return Availability(
                there, "engine 1" if there else "", "" if there else "not there", may_change=not there
            )

    never = Counted(Availability(False, problem="the kernel is too old"))
    plugins = Plugins({"docker": Counted(None), "never": never}, {}, {})
    await plugins.probe(timeout_s=60)
    assert plugins.names()[0] == []
    changes: list[list[str]] = []
    async with asyncio.timeout(60):
        await plugins.watch(10, lambda: changes.append(plugins.names()[0]), retry_s=(0.01, 0.02))
    assert changes == [["docker"]]
    assert asked == {"docker": 3, "never": 1}


async def test_what_works_is_asked_again_where_something_better_may_come() -> None:
    answers = [
        Availability(True, "a stand-in", may_change=True),
        Availability(True, "a stand-in", may_change=True),
        Availability(True, "engine 1"),
    ]

    class Improving(Probed):
        async def probe(self) -> Availability:
            return answers.pop(0)

    plugins = Plugins({"docker": Improving(None)}, {}, {})
    await plugins.probe(timeout_s=60)
    runtimes: list[dict[str, str]] = []
    async with asyncio.timeout(60):
        await plugins.watch(10, lambda: runtimes.append(plugins.runtimes()[0]), retry_s=(0.01, 0.02))
    assert (runtimes, answers) == ([{"docker": "engine 1"}], [])


async def test_closing_ends_a_question_that_nobody_answers() -> None:
    plugins = Plugins({"silent": Probed(None)}, {}, {})
    await plugins.probe(timeout_s=60, patience_s=0.01)
    async with asyncio.timeout(60):
        await plugins.close(1)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "probe"]
