from __future__ import annotations

import asyncio

from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.engines.base import Availability
from bacalhau_jupyter.models.errors import EngineError
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
    await plugins.probe(timeout=0.05)
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
    await plugins.probe(timeout=1)
    assert plugins.source("LocalDirectory") is source
    assert plugins.source("local") is source
    assert plugins.names() == ([], ["localdirectory"], [])
