"""No job can change what the cache shares: a hostile job per way of running one, as the user that the node is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from bacalhau_jupyter.models.wire.messages import RunResult
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.registry import load_engines
from tests.compute.makers import an_output, make_execution, make_task
from tests.compute.peer import WAIT_S
from tests.compute.real import LONG_S, image_for, running
from tests.compute.test_inputs import DATA, Shared, named

pytestmark = pytest.mark.process

# Whoever is stopped by none of these owns the file: modes, contents, length, times, names, links.
ATTACK = """
cd "${BACALHAU_INPUTS:-/inputs}" || exit 9
(for f in one two; do
  chmod 777 $f; echo spoiled > $f; echo spoiled >> $f; truncate -s 0 $f; dd if=/dev/zero of=$f bs=1 count=3
  touch -d 2001-01-01 $f; ln $f /outputs/$f; ln $f "$BACALHAU_OUTPUTS/$f"; echo spoiled > "$BACALHAU_OUTPUTS/$f"
  mv $f $f.moved; rm -f $f; cp /etc/passwd $f; sed -i s/0/9/ $f
done) 2> /dev/null
cat one two; echo
"""


class RealNode(Shared):
    """A node that shares inputs and runs them with one real engine."""

    def __init__(self, directory: Path, kind: str, image: str) -> None:
        super().__init__(directory, probe_timeout_s=30.0, cancel_timeout_s=30.0)
        self.kind, self.image = kind, image

    def options(self) -> PluginOptions:
        tiers = {"Engines.Process.Tiers": [self.kind]}
        return PluginOptions(node_id="n-test", data_dir=self.settings.data_dir, settings=tiers.get)

    @property
    def engine(self) -> str:
        return "docker" if self.kind == "docker" else "process"

    async def start(self) -> None:
        others = {"docker", "noop", "process", "wasm"} - {self.engine}
        self.extra_engines = load_engines(self.options(), others, entries=()).plugins
        await super().start()

    def shell(self, script: str) -> Task:
        params: dict[str, object] = {"Command": ["/bin/sh", "-c", script]}
        if self.kind == "docker":
            params = {"Image": self.image, "Entrypoint": ["/bin/sh", "-c", script]}
        return make_task(
            self.engine,
            params,
            input_sources=[named()],
            result_paths=[an_output()],
            publisher=SpecConfig(type="stub"),
        )


@pytest.fixture(params=["bubblewrap", "landlock", pytest.param("docker", marks=pytest.mark.docker)])
async def node(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RealNode]:
    it = RealNode(tmp_path, request.param, image_for(request, monkeypatch))
    async with running(it, it.engine):
        yield it


def facts(node: RealNode) -> list[tuple[str, bytes, int, int, int]]:
    files = sorted((node.settings.data_dir / "cache" / "entries").glob("*/tree/content/*"))
    return [
        (path.name, path.read_bytes(), (it := path.stat()).st_mode, it.st_mtime_ns, it.st_uid)
        for path in files
    ]


async def test_a_hostile_job_changes_nothing_that_is_shared(node: RealNode) -> None:
    before = None
    for _ in range(2):
        execution = make_execution(node.shell(ATTACK))
        assert (await node.peer.bid(execution)).accepted
        await node.peer.accept(execution)
        async with asyncio.timeout(LONG_S):
            answer = await node.peer.inbox.get()
        assert isinstance(answer, RunResult), answer
        assert answer.run_command_result is not None
        assert answer.run_command_result.stdout == DATA.decode() + "\n", answer
        assert [(name, data) for name, data, *_ in facts(node)] == [("one", DATA[:4]), ("two", DATA[4:])]
        assert before in (None, facts(node))
        before = facts(node)
        await asyncio.wait_for(node.idle(), WAIT_S)
    # The second one got what the first had tried to spoil.
    assert node.named.fetches == 1


async def test_a_copy_of_an_input_can_be_written_and_the_input_stays(node: RealNode) -> None:
    script = 'cd "${BACALHAU_OUTPUTS:-/outputs}" && cp "${BACALHAU_INPUTS:-/inputs}/one" x && echo more >> x && cat x'
    for _ in range(2):
        execution = make_execution(node.shell(script))
        assert (await node.peer.bid(execution)).accepted
        await node.peer.accept(execution)
        async with asyncio.timeout(LONG_S):
            answer = await node.peer.inbox.get()
        assert isinstance(answer, RunResult), answer
        assert answer.run_command_result is not None
        assert answer.run_command_result.stdout == DATA[:4].decode() + "more\n", (execution.id, answer)
        assert [(name, data) for name, data, *_ in facts(node)] == [("one", DATA[:4]), ("two", DATA[4:])]
        await asyncio.wait_for(node.idle(), WAIT_S)


def test_the_attack_spoils_files_that_nothing_protects(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(DATA[:4])
    (tmp_path / "two").write_bytes(DATA[4:])
    for name in ("one", "two"):
        (tmp_path / name).chmod(0o644)
    env = {"BACALHAU_INPUTS": str(tmp_path), "BACALHAU_OUTPUTS": str(tmp_path), "PATH": os.environ["PATH"]}
    # By its number: another child of this process may end just now.
    os.waitpid(os.posix_spawn("/bin/sh", ["/bin/sh", "-c", ATTACK], env), 0)
    assert (tmp_path / "one").read_bytes() != DATA[:4]
