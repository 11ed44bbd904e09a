"""Files that are copied to the engine and back, on a real one: no task may notice the difference to mounts."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.files.archive import Archive
from bacalhau_jupyter.engines.docker.files.placement import Placement, not_shareable
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, IOFailure
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task, replace
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount, no_progress
from bacalhau_jupyter.plugins.engine import EndReason, RunRequest
from bacalhau_jupyter.transfer.archive.unpacking import Limits, unpack_into
from tests.engines.docker.conftest import UNTIL_LET_GO, Node, derived_image, output_of
from tests.services.waiting import until

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("no_leaks")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def placement() -> Placement:
    return Placement.ARCHIVE


def tree(directory: Path) -> dict[str, tuple[int, str]]:
    """Every entry below a directory: permissions, and what a file or link holds."""
    entries = {}
    for path in sorted(directory.rglob("*")):
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            holds = f"-> {path.readlink()}"
        elif stat.S_ISREG(info.st_mode):
            holds = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            holds = "directory" if stat.S_ISDIR(info.st_mode) else "other"
        entries[str(path.relative_to(directory))] = (stat.S_IMODE(info.st_mode), holds)
    return entries


def varied(directory: Path) -> Path:
    """Make a directory of everything that a mount would show."""
    (directory / "empty").mkdir(parents=True)
    (directory / "empty").chmod(0o750)
    (directory / "deep" / "er").mkdir(parents=True)
    (directory / "deep" / "er" / "ünï cödé\n").write_bytes(os.urandom(1_000_003))
    Path(os.fsdecode(os.fsencode(directory) + b"/not utf-8 \xff")).write_bytes(b"x")
    (directory / "run").write_text("#!/bin/sh\n")
    (directory / "run").chmod(0o775)
    (directory / "again").hardlink_to(directory / "run")
    (directory / "dangling").symlink_to("/nowhere/at/all")
    (directory / "up").symlink_to("../../etc")
    (directory / ("n" * 200)).touch()
    return directory


@asynccontextmanager
async def running(node: Node, params: dict[str, Any], **kwargs: Any) -> AsyncIterator[RunRequest]:
    """A started task that is cleaned up at the end."""
    request = node.request(params, **kwargs)
    await node.engine.start(request)
    yield request
    await node.engine.clean(request.execution.id)


async def printed(request: RunRequest, word: str) -> None:
    """Wait until a task has printed a word."""
    await until(lambda: word in output_of(request.log_path)[0])


async def test_inputs_arrive_and_results_return_exactly(
    node: Node, busybox_image: str, tmp_path: Path
) -> None:
    source, file = varied(tmp_path / "data"), tmp_path / "one.bin"
    file.write_bytes(os.urandom(70_000))
    # One file in two inputs: no link leads from one volume to another.
    (source / "deep" / "shared").hardlink_to(file)
    copy = "cp -a /inputs/. /outputs/; cp /one /other/; touch /inputs/x /one; ls -dn /inputs/empty; pwd"
    inputs = [InputMount(source, "/inputs"), InputMount(file, "/one")]
    outputs = {"outputs": "/outputs", "other": "/other"}
    params = {"Image": busybox_image, "Parameters": ["sh", "-c", copy], "WorkingDirectory": "/tmp"}
    os.chown(source / "empty", *((1234, 77) if os.geteuid() == 0 else (-1, -1)))
    async with running(node, params, inputs=inputs, outputs=outputs) as request:
        assert (await node.engine.wait(request.execution.id)).reason is EndReason.EXITED
        stdout, stderr, _ = output_of(request.log_path)
        assert stderr.count("Read-only file system") == 2
        line, place = stdout.splitlines()
        assert line.startswith("drwxr-x---") and place == "/tmp"
        owner = (source / "empty").stat()
        assert line.split()[2:4] == [str(owner.st_uid), str(owner.st_gid)]
        results, other = (output.path for output in request.outputs)
        assert tree(results) == tree(source)
        assert (results / "run").stat().st_ino == (results / "again").stat().st_ino
        assert tree(other) == {"one": (0o644, hashlib.sha256(file.read_bytes()).hexdigest())}
        assert not list(request.directory.glob("copied*"))
    assert (node.containers(), node.volumes()) == ([], [])


async def test_what_holds_no_data_is_left_out_and_links_are_kept_as_they_are(
    node: Node, busybox_image: str
) -> None:
    links = "ln -s /outputs/a abs; ln -s ../../etc up; ln abs abs2"
    write = f"cd /outputs; mkfifo p; ln p q; {links}; echo x > a; chmod 666 a"
    params = {"Image": busybox_image, "Parameters": ["sh", "-c", write]}
    async with running(node, params, outputs={"outputs": "/outputs"}) as request:
        assert (await node.engine.wait(request.execution.id)).exit_code == 0
        entries = tree(request.outputs[0].path)
        assert {name: holds for name, (_, holds) in entries.items() if name != "a"} == {
            "abs": "-> /outputs/a",
            "abs2": "-> /outputs/a",
            "up": "-> ../../etc",
        }
        assert entries["a"][0] == 0o666


async def test_an_image_with_another_user_can_write_and_hides_what_it_has_at_a_target(
    node: Node, api: Any, busybox_image: str
) -> None:
    image = derived_image(api, busybox_image, "bacalhau-jupyter-test/archive-user", ["USER 1234:1234"])
    try:
        params = {
            "Image": image,
            "Parameters": ["sh", "-c", "id -u > /etc/uid; echo x > /etc/deny/y; ls /etc"],
        }
        async with running(node, params, outputs={"outputs": "/etc"}) as request:
            await node.engine.wait(request.execution.id)
            assert output_of(request.log_path)[0].split() == ["hostname", "uid"]
            assert (request.outputs[0].path / "uid").read_text() == "1234\n"
    finally:
        api.remove_image(image, force=True)


async def test_a_restarted_node_collects_what_a_task_wrote_meanwhile(
    node: Node, busybox_image: str, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("42")
    params = {
        "Image": busybox_image,
        "Parameters": ["sh", "-c", f"{UNTIL_LET_GO}; cat /in > /outputs/f"],
    }
    inputs, outputs = [InputMount(tmp_path / "in", "/in")], {"outputs": "/outputs"}
    request = node.request(params, inputs=inputs, outputs=outputs)
    identifier = request.execution.id
    await node.engine.start(request)
    await node.engine.close()
    # A node that now sees the engine's disk must still know that this task's results are elsewhere.
    node.placement = Placement.BIND
    again = node.another()
    assert (await again.probe()).available
    assert await again.attach(request)
    node.let_go()
    assert (await asyncio.wait_for(again.wait(identifier), 60)).exit_code == 0
    assert (request.outputs[0].path / "f").read_text() == "42"
    await again.clean(identifier)
    await again.close()
    assert (node.containers(), node.volumes()) == ([], [])


async def test_cancelling_and_running_out_of_memory_keep_what_was_written(
    node: Node, busybox_image: str
) -> None:
    outputs = {"outputs": "/outputs"}
    wait = {"Image": busybox_image, "Parameters": ["sh", "-c", "echo part > /outputs/f; echo up; sleep 60"]}
    async with running(node, wait, outputs=outputs) as request:
        await printed(request, "up")
        await node.engine.cancel(request.execution.id)
        assert (await node.engine.wait(request.execution.id)).reason is EndReason.CANCELLED
        assert (request.outputs[0].path / "f").read_text() == "part\n"
        assert (node.containers(), node.volumes()) == ([], [])
    greedy = {
        "Image": busybox_image,
        "Parameters": ["sh", "-c", "echo part > /outputs/f; exec tail /dev/zero"],
    }
    async with running(node, greedy, outputs=outputs, resources=Resources(memory=16 << 20)) as request:
        # Why it was killed, a busy engine loses now and then.
        assert (await node.engine.wait(request.execution.id)).exit_code == 137
        assert (request.outputs[0].path / "f").read_text() == "part\n"


async def test_a_start_that_is_cancelled_while_it_copies_leaves_nothing(
    node: Node, busybox_image: str, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(20 << 30)
    seen: list[Reading] = []
    moving = asyncio.Event()
    loop = asyncio.get_running_loop()

    def progress(reading: Reading) -> None:
        seen.append(reading)
        if reading.done > 4 << 20:
            loop.call_soon_threadsafe(moving.set)

    request = node.request(
        {"Image": busybox_image, "Parameters": ["true"]}, inputs=[InputMount(tmp_path / "large", "/large")]
    )
    starting = asyncio.create_task(node.engine.start(request, progress))
    await asyncio.wait_for(moving.wait(), 60)
    await node.engine.cancel(request.execution.id)
    with pytest.raises(BacalhauError, match="cancelled while it started"):
        await starting
    assert (seen[-1].phase, seen[-1].total) == ("copying inputs", 20 << 30)
    assert (node.containers(), node.volumes()) == ([], [])


async def test_an_input_that_can_not_be_read_fails_in_one_sentence_and_leaves_nothing(
    node: Node, busybox_image: str, tmp_path: Path
) -> None:
    request = node.request(
        {"Image": busybox_image}, inputs=[InputMount(tmp_path / "gone", "/gone")], outputs={"o": "/o"}
    )
    with pytest.raises(IOFailure, match=r"the input /gone can't be opened: .*/gone: No such file"):
        await node.engine.start(request)
    assert (node.containers(), node.volumes()) == ([], [])


async def test_a_full_disk_of_the_engine_is_reported(
    node: Node, busybox_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The volumes get a disk of 1 MB: the engine itself then says what it says when its disk is full.
    (tmp_path / "large").write_bytes(os.urandom(32 << 20))
    api = node.engine.connection.daemon.api
    make, options = api.create_volume, {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    monkeypatch.setattr(
        api, "create_volume", lambda name, **more: make(name, **{**more, "driver_opts": options})
    )
    request = node.request(
        {"Image": busybox_image, "Parameters": ["true"]}, inputs=[InputMount(tmp_path / "large", "/large")]
    )
    with pytest.raises(IOFailure, match="the disk of the Docker Engine is full"):
        await node.engine.start(request)
    assert (node.containers(), node.volumes()) == ([], [])


@needs_root
@pytest.mark.root
async def test_a_full_disk_here_fails_the_task_and_says_where(node: Node, busybox_image: str) -> None:
    write = ["sh", "-c", "head -c 8000000 /dev/urandom > /outputs/f"]
    request = node.request({"Image": busybox_image, "Parameters": write}, outputs={"outputs": "/outputs"})
    small = request.directory / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        request = replace_directory(request, small)
        await node.engine.start(request)
        outcome = await node.engine.wait(request.execution.id)
        assert outcome.reason is EndReason.ERROR
        assert outcome.error is not None and outcome.error.message.startswith(
            "the disk is full: could not write"
        )
        assert [path.name for path in small.iterdir()] == []
        await node.engine.clean(request.execution.id)
    finally:
        subprocess.run(["umount", small], check=True)


def replace_directory(request: RunRequest, directory: Path) -> RunRequest:
    import dataclasses

    return dataclasses.replace(request, directory=directory)


async def test_results_whose_volume_was_removed_are_missed_and_not_empty(
    node: Node, busybox_image: str
) -> None:
    params = {"Image": busybox_image, "Parameters": ["true"]}
    async with running(node, params, outputs={"outputs": "/outputs"}) as request:
        await node.engine.wait(request.execution.id)
    # The engine would make an empty volume for whoever names one that has gone.
    with pytest.raises(EngineError, match="volumes were removed by another program"):
        Archive(node.engine.connection.daemon, request).unload(busybox_image, no_progress, threading.Event())
    assert (node.containers(), node.volumes()) == ([], [])


async def test_the_carrier_may_be_pruned_while_the_task_runs(
    node: Node, api: Any, busybox_image: str
) -> None:
    phases: list[tuple[str, int]] = []

    def progress(reading: Reading) -> None:
        phases.append((reading.phase, reading.done))

    script = f"{UNTIL_LET_GO}; echo x > /outputs/f"
    params = {"Image": busybox_image, "Parameters": ["sh", "-c", script]}
    request = node.request(params, outputs={"outputs": "/outputs"})
    await node.engine.start(request, progress)
    (carrier,) = (container for container in node.containers() if container["Name"].endswith("-files"))
    api.remove_container(carrier["Id"], v=True)
    node.let_go()
    assert (await node.engine.wait(request.execution.id)).exit_code == 0
    assert (request.outputs[0].path / "f").read_text() == "x\n"
    assert phases[-1] == ("copying results", 2)
    await node.engine.clean(request.execution.id)
    assert (node.containers(), node.volumes()) == ([], [])


async def test_volumes_without_a_container_are_swept(node: Node, api: Any) -> None:
    node_id = node.options.node_id
    labels = {"bacalhau-executor": node_id, "bacalhau-executionID": f"{node_id}e-lost"}
    api.create_volume(f"bacalhau-{node_id}-lost", labels=labels)
    assert await node.engine.existing() == ["e-lost"]
    await node.engine.clean("e-lost")
    assert node.volumes() == []


@pytest.mark.parametrize("kind", ["localDirectory", "local"])
@pytest.mark.parametrize("value", [True, "true", "1"])
def test_a_directory_to_be_shared_for_writing_is_refused(kind: str, value: object) -> None:
    source = SpecConfig(type=kind, params={"SourcePath": "/data", "ReadWrite": value})
    reason = not_shareable(Task(name="t", input_sources=[InputSource(source=source, target="/d")]))
    assert reason.startswith("this node can't share /data for writing")
    read_only = SpecConfig(type=kind, params={"SourcePath": "/data", "readwrite": False})
    assert not_shareable(Task(name="t", input_sources=[InputSource(source=read_only, target="/d")])) == ""


async def test_the_bid_and_the_runtime_know_of_the_placement(node: Node, busybox_image: str) -> None:
    execution = node.request({"Image": busybox_image}).execution
    assert execution.job is not None
    assert (await node.engine.bid(execution)).accepted
    source = SpecConfig(type="localDirectory", params={"SourcePath": "/data", "ReadWrite": True})
    task = replace(execution.job.task, input_sources=[InputSource(source=source, target="/d")])
    job = replace(execution.job, tasks=[task])
    bid = await node.engine.bid(replace(execution, job=job))
    assert (bid.accepted, bid.reason.startswith("this node can't share /data for writing")) == (False, True)
    mounting = DockerEngine(node.options, env={"DOCKER_HOST": node.url}, placement=Placement.BIND)
    assert (await mounting.probe()).runtime + " (archive)" == (await node.engine.probe()).runtime
    assert (await mounting.bid(replace(execution, job=job))).accepted
    await mounting.close()


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../x", tarfile.REGTYPE, ""),
        ("/etc/x", tarfile.REGTYPE, ""),
        ("out/l/x", tarfile.REGTYPE, ""),
        ("out/h", tarfile.LNKTYPE, "../secret"),
        ("out/h", tarfile.LNKTYPE, "out"),
    ],
)
def test_hostile_results_are_refused_before_they_are_written(
    tmp_path: Path, name: str, kind: bytes, link: str
) -> None:
    # No engine sends these; one that was taken over might.
    (tmp_path / "secret").write_text("s")
    root = tmp_path / "root"
    root.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member_name, member_kind, target in (
            ("out", tarfile.DIRTYPE, ""),
            ("out/l", tarfile.SYMTYPE, str(tmp_path)),
            (name, kind, link),
        ):
            member = tarfile.TarInfo(member_name)
            member.type, member.linkname = member_kind, target
            tar.addfile(member)
    buffer.seek(0)
    with pytest.raises(IOFailure, match="the archive is refused"):
        unpack_into(buffer, root, limits=Limits(), as_is=True, stop=threading.Event())
    assert sorted(path.name for path in tmp_path.rglob("*") if path.name != "out") == ["root", "secret"]


MEMORY = """
import asyncio, resource, sys
from pathlib import Path
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.files.archive import Archive
from bacalhau_jupyter.engines.docker.files.placement import Placement
from tests.engines.docker.conftest import Node

async def main(directory, url, node_id, image):
    options = PluginOptions(node_id=node_id, data_dir=Path(directory))
    engine = DockerEngine(options, env={"DOCKER_HOST": url}, placement=Placement.ARCHIVE)
    node = Node(engine, Path(directory), url, options, Placement.ARCHIVE)
    assert (await engine.probe()).available
    async def copy(size):
        source = Path(directory, f"in-{size}")
        with source.open("wb") as file:
            file.truncate(size)
        params = {"Image": image, "Parameters": ["cp", "/in", "/outputs/f"]}
        request = node.request(params, inputs=[InputMount(source, "/in")], outputs={"outputs": "/outputs"})
        await engine.start(request)
        outcome = await engine.wait(request.execution.id)
        assert outcome.exit_code == 0, outcome
        assert (request.outputs[0].path / "f").stat().st_size == size
        (request.outputs[0].path / "f").unlink()
        await engine.clean(request.execution.id)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    small = await copy(8 << 20)
    print(small, await copy(400 << 20))
    await engine.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_memory_does_not_grow_with_the_data(
    node: Node, docker_engine: str, busybox_image: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), docker_engine, node.options.node_id, busybox_image],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    small, large = (int(kilobytes) for kilobytes in done.stdout.split())
    assert large - small < 16_000, f"{large - small} kB more for 392 MB more"
