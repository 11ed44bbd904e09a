"""What a job must not reach through its inputs: by swapping them while it waits, or by links that lie in them.

Every attack also runs against a variant without the protection, where it succeeds.
"""

from __future__ import annotations

import marshal
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process.tiers import bubblewrap
from bacalhau_jupyter.engines.supervised import sockets, staging
from bacalhau_jupyter.engines.supervised.mounts import Mount, lay_out
from bacalhau_jupyter.engines.supervised.starting import Starter
from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.process.bench import Bench, make_execution
from tests.services.common import open_way

SECRET = "the-secret-of-the-host"


@pytest.fixture
def shared(bench: Bench) -> Path:
    """``shared/wanted/data``, which is allowed, beside ``private/data``, which is not; every user may read both."""
    place = bench.place.resolve()
    for name, text in (("shared/wanted", "allowed"), ("private", SECRET)):
        (place / name).mkdir(parents=True)
        (place / name / "data").write_text(text)
    for directory in ("shared/wanted", "private"):
        open_way(place / directory)
    return place / "shared"


def checked(path: Path, target: str = "/inputs") -> InputMount:
    """What a source returns: the path, and which object it found there."""
    descriptor = beneath.open_path(path)
    try:
        return InputMount(path, target, checked=beneath.file_id(descriptor))
    finally:
        os.close(descriptor)


def swap(place: Path) -> None:
    """Do what a job with the right to write in the parent can do."""
    place.rename(place.with_name("old"))
    place.symlink_to(place.parents[1] / "private")


# --- swapped between check and use ------------------------------------------------------------------------------------


async def test_an_input_that_was_swapped_after_it_was_checked_is_not_mounted(
    bench: Bench, shared: Path
) -> None:
    mount = checked(shared / "wanted")
    swap(shared / "wanted")
    # Control: resolving the path once more at the launch reads what the link leads to.
    resolved = InputMount(Path(os.path.realpath(mount.path)), "/inputs")
    assert (await bench.run(["cat", "inputs/data"], inputs=[resolved])).stdout == SECRET
    with pytest.raises(
        EngineError, match="the input /inputs is not mounted: something else lies at"
    ) as refused:
        await bench.run(["cat", "inputs/data"], inputs=[mount])
    assert refused.value.fails_execution


async def test_a_directory_put_in_place_of_the_checked_one_is_not_mounted(bench: Bench, shared: Path) -> None:
    mount = checked(shared / "wanted")
    (shared / "wanted").rename(shared / "old")
    (shared.parent / "private").rename(shared / "wanted")
    with pytest.raises(EngineError, match="is not mounted: something else lies at"):
        await bench.run(["cat", "inputs/data"], inputs=[mount])


async def test_a_link_above_the_checked_input_is_not_followed(bench: Bench, shared: Path) -> None:
    """The very same object behind a link: where the link leads may change at any time."""
    mount = checked(shared / "wanted")
    shared.rename(shared.with_name("moved"))
    shared.symlink_to(shared.with_name("moved"))
    with pytest.raises(EngineError, match="is not mounted"):
        await bench.run(["cat", "inputs/data"], inputs=[mount])


@pytest.mark.parametrize("kind", ["directory", "file"])
async def test_an_input_that_is_swapped_after_the_node_s_last_look_is_not_mounted(
    bench: Bench, shared: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor, which mounts, is another process: it compares what it opens."""
    place = shared / "wanted" if kind == "directory" else shared / "wanted" / "data"
    private = shared.parent / "private" if kind == "directory" else shared.parent / "private" / "data"
    mount = checked(place, "/inputs" if kind == "directory" else "/inputs/data")
    if bench.engine._tier is not None and not bench.engine._tier.mounts and os.geteuid() == 0:
        shared.chmod(0o755)  # so that it is not copied, but read where it is

    def late(also: Callable[[State], None]) -> Callable[[Starter, State, int, str], int]:
        def start(starter: Starter, state: State, lock: int, runner: str) -> int:
            if not place.is_symlink():
                place.rename(place.with_name("old"))
                place.symlink_to(private)
            also(state)
            return original(starter, state, lock, runner)

        return start

    original = Starter.start
    monkeypatch.setattr(Starter, "start", late(lambda state: None))
    result = await bench.run(["cat", "inputs/data"], inputs=[mount])
    assert SECRET not in result.stdout
    assert result.outcome.error is not None
    assert f"this node can't show {place}" in result.outcome.error.message

    # Control: a supervisor that takes what it finds.
    def believe(state: State) -> None:
        plan = marshal.loads(state.plan.read_bytes())
        there = checked(Path(os.path.realpath(place)))
        assert there.checked is not None
        pinned = (str(there.path), *there.checked)
        plan["pinned"] = [pinned if path == str(place) else (path, *rest) for path, *rest in plan["pinned"]]
        state.plan.write_bytes(marshal.dumps(plan))

    place.unlink()
    place.with_name("old").rename(place)
    monkeypatch.setattr(Starter, "start", late(believe))
    assert (await bench.run(["cat", "inputs/data"], inputs=[mount])).stdout == SECRET


async def test_a_job_holds_no_descriptor_of_what_was_mounted(bench: Bench, shared: Path) -> None:
    """Through one, `..` would lead out of the input."""
    inputs = [checked(shared / "wanted"), checked(shared.parent / "private", "/inputs/extra")]
    code = """
import os
for number in range(3, 4096):
    try:
        os.stat("..", dir_fd=number)
        print("open:", number)
    except OSError:
        pass
print("looked")
"""
    result = await bench.python(code, inputs=inputs)
    assert result.stdout == "looked\n", result


# --- links in an input that holds another one -------------------------------------------------------------------------


@pytest.fixture
def nested(shared: Path) -> list[InputMount]:
    """An input with links out and in, and another input inside."""
    outer = shared / "outer"
    outer.mkdir()
    outer.chmod(0o755)
    (outer / "own").write_text("own")
    (outer / "inside").symlink_to("own")
    (outer / "directory").symlink_to(shared.parent / "private")
    (outer / "file").symlink_to(shared.parent / "private" / "data")
    (outer / "up").symlink_to("../../private/data")
    return [checked(outer), checked(shared / "wanted", "/inputs/extra")]


READ_LINKS = (
    "cat inputs/inside inputs/extra/data; cat inputs/directory/data inputs/file inputs/up 2>/dev/null; true"
)


async def test_links_in_an_input_that_holds_another_lead_nowhere_on_the_host(
    bench: Bench, nested: list[InputMount], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = await bench.run(["sh", "-c", READ_LINKS], inputs=nested)
    assert result.stdout == "ownallowed", result
    # Control: mounting (or opening) what the links lead to.
    private = nested[0].path.parents[1] / "private"
    if bench.engine._tier is not None and bench.engine._tier.mounts:

        def following(mounts: list[Mount]) -> list[Mount]:
            outer = nested[0].path
            return [
                replace(each, source=Path(os.path.realpath(outer / each.link)), link="")
                if each.link
                else each
                for each in lay_out(mounts)
            ]

        monkeypatch.setattr(bubblewrap, "lay_out", following)
        result = await bench.run(["sh", "-c", READ_LINKS], inputs=nested)
    else:
        result = await bench.run(
            ["sh", "-c", READ_LINKS], inputs=[*nested, checked(private, "/inputs/shown")]
        )
    assert SECRET in result.stdout


async def test_links_stay_links_with_their_own_text(bench: Bench, nested: list[InputMount]) -> None:
    names = "cd inputs && for each in inside file up; do readlink $each; done"
    result = await bench.run(["sh", "-c", names], inputs=nested)
    private = nested[0].path.parents[1] / "private"
    assert result.stdout == f"own\n{private}/data\n../../private/data\n"


async def test_an_input_s_place_behind_a_link_of_another_input_is_refused(
    bench: Bench, shared: Path, nested: list[InputMount], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted((shared.parent / "private").iterdir())
    behind = checked(shared / "wanted", "/inputs/directory/new")
    with pytest.raises(EngineError, match=r"lies behind the link .*directory of an input"):
        await bench.run(["true"], inputs=[nested[0], behind])
    assert sorted((shared.parent / "private").iterdir()) == before
    if bench.engine._tier is not None and not bench.engine._tier.mounts:
        # Control: making the way without looking for links makes it on the host.
        def naive(root: Path, target: Path, user: int) -> None:
            target.mkdir(parents=True, exist_ok=True)

        monkeypatch.setattr(staging, "open_way", naive)
        await bench.run(["true"], inputs=[nested[0], behind])
        assert (shared.parent / "private" / "new").exists()


async def test_nothing_is_mounted_inside_a_writable_input(bench: Bench) -> None:
    execution = make_execution(["true"], inputs=["/data", "/data/deep/other"])
    assert execution.job is not None
    source = SpecConfig(type="localDirectory", params={"SourcePath": "/x", "ReadWrite": True})
    execution.job.tasks[0].input_sources[0] = InputSource(source=source, target="/data")
    bid = await bench.engine.bid(execution)
    assert not bid.accepted
    if bench.engine._tier is not None and bench.engine._tier.mounts:
        assert bid.reason == "this node can't mount /data/deep/other inside the writable input /data"


async def test_an_input_may_hold_many_entries_and_another_input(bench: Bench, shared: Path) -> None:
    many = shared / "many"
    many.mkdir()
    for number in range(400):
        (many / str(number)).write_text(str(number))
    many.chmod(0o755)
    inputs = [checked(many), checked(shared / "wanted", "/inputs/extra")]
    result = await bench.run(
        ["sh", "-c", "ls inputs | wc -l; cat inputs/399 inputs/extra/data"], inputs=inputs
    )
    assert result.stdout == "401\n399allowed", result.stderr


# --- sockets in inputs ------------------------------------------------------------------------------------------------

CONNECT = """
import os, socket, sys
try:
    client = socket.socket(socket.AF_UNIX)
    client.connect("inputs/program.sock")
    print("REACHED")
except OSError as error:
    print("refused")
"""


@pytest.fixture
def listener(shared: Path) -> Iterator[socket.socket]:
    """A program of this host that listens in a shared directory."""
    path = shared / "wanted" / "program.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0o777)
        yield listening


async def test_an_input_that_is_a_socket_is_refused(
    bench: Bench, shared: Path, listener: socket.socket
) -> None:
    with pytest.raises(EngineError, match="is a socket, and jobs get none"):
        await bench.run(["true"], inputs=[checked(shared / "wanted/program.sock", "/inputs/program.sock")])


@pytest.mark.parametrize("jobs_write", [False, True])
async def test_a_socket_in_an_input_is_not_reached_whoever_may_write_there(
    bench: Bench, shared: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, jobs_write: bool
) -> None:
    mount = replace(checked(shared / "wanted"), jobs_write=jobs_write)
    assert (await bench.python(CONNECT, inputs=[mount])).stdout == "refused\n"
    if bench.engine._tier is not None and bench.engine._tier.mounts:
        # Control: neither covered nor without local sockets.
        monkeypatch.setattr(sockets, "covers", lambda *_: [])
        monkeypatch.setattr(sockets, "uncovered", lambda _: False)
        assert (await bench.python(CONNECT, inputs=[mount])).stdout == "REACHED\n"


async def test_a_cover_is_not_made_where_a_job_may_have_put_a_link_on_the_way(
    bench: Bench, shared: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bench.engine._tier is None or not bench.engine._tier.mounts:
        pytest.skip("nothing is mounted there")
    seen: list[list[str]] = []
    original = sockets.covers

    def covers(inputs: Sequence[InputMount], copied: Callable[[int], bool]) -> list[str]:
        seen.append(original(inputs, copied))
        return seen[-1]

    monkeypatch.setattr(sockets, "covers", covers)
    for jobs_write in (False, True):
        await bench.run(["true"], inputs=[replace(checked(shared / "wanted"), jobs_write=jobs_write)])
    assert seen == [["/inputs/program.sock"], []]
