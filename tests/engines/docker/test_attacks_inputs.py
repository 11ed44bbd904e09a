"""What a container must not get through its inputs: by a swap while it starts, or by links that lie in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from bacalhau_jupyter.engines.docker import launch as launching
from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.files import cargo, ownership
from bacalhau_jupyter.engines.docker.files.placement import Placement, bind_mounts
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.docker.conftest import Node

SECRET = "the-secret-of-the-host"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """``shared/wanted/data``, which is allowed, beside ``private/data``, which is not."""
    root = tmp_path.resolve() / "host"
    for name, text in (("shared/wanted", "allowed"), ("private", SECRET)):
        (root / name).mkdir(parents=True)
        (root / name / "data").write_text(text)
    return root / "shared"


def checked(path: Path, target: str = "/inputs", *, read_only: bool = True) -> InputMount:
    opened = beneath.open_path(path)
    try:
        return InputMount(path, target, read_only, checked=beneath.file_id(opened))
    finally:
        os.close(opened)


def swap(shared: Path) -> None:
    """Do what whoever may write in ``shared`` can do."""
    (shared / "wanted").rename(shared / "old")
    (shared / "wanted").symlink_to(shared.parent / "private")


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the protection away."""
    monkeypatch.setattr(launching, "check_inputs", lambda inputs, _component: list(inputs))


def before(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, act: Callable[[], None]) -> None:
    """Do something right before a call, once."""
    original, done = getattr(holder, name), list[bool]()

    def call(*args: Any, **named: Any) -> Any:
        if not done:
            done.append(True)
            act()
        return original(*args, **named)

    monkeypatch.setattr(holder, name, call)


async def test_an_input_that_was_swapped_after_it_was_checked_is_not_mounted(
    node: Node, busybox_image: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {
        "Image": busybox_image,
        "Parameters": ["sh", "-c", "cat /inputs/data; echo harm > /inputs/data"],
    }
    mount = checked(shared / "wanted", read_only=False)
    swap(shared)
    with pytest.raises(EngineError, match="the input /inputs is not mounted: something else lies at"):
        await node.run(params, inputs=[mount])
    assert node.containers() == []
    assert (shared.parent / "private/data").read_text() == SECRET
    unchecked(monkeypatch)
    assert (await node.run(params, inputs=[mount])).stdout == SECRET
    assert (shared.parent / "private/data").read_text() == "harm\n"


@pytest.mark.parametrize("moment", ["create_container_from_config", "start"])
async def test_an_input_that_is_swapped_while_the_engine_resolves_it_ends_the_container_at_once(
    node: Node, busybox_image: str, shared: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    params = {"Image": busybox_image, "Parameters": ["sh", "-c", "sleep 60; echo harm > /inputs/data"]}
    mount = checked(shared / "wanted", read_only=False)
    before(monkeypatch, node.engine.connection.daemon.api, moment, lambda: swap(shared))
    with pytest.raises(EngineError, match="the input /inputs is not mounted"):
        await node.run(params, inputs=[mount])
    assert node.containers() == []
    assert (shared.parent / "private/data").read_text() == SECRET


async def test_without_looking_again_the_swapped_directory_is_mounted(
    node: Node, busybox_image: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the one above."""
    unchecked(monkeypatch)
    before(monkeypatch, node.engine.connection.daemon.api, "start", lambda: swap(shared))
    params = {"Image": busybox_image, "Parameters": ["cat", "/inputs/data"]}
    assert (await node.run(params, inputs=[checked(shared / "wanted")])).stdout == SECRET


async def test_mounts_inside_a_directory_that_jobs_write_to_are_not_mounted_by_their_paths(
    node: Node, busybox_image: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older engines get what is mounted below an input listed one by one; its way may lead through a job's link."""
    inside = str(shared / "wanted/deep/disk")
    monkeypatch.setattr("bacalhau_jupyter.engines.docker.files.placement._mount_points", lambda: [inside])
    request = node.request({"Image": busybox_image}, inputs=[checked(shared / "wanted")])
    sources = [each["Source"] for each in bind_mounts(request, recursive_read_only=False)]
    assert sources == [str(shared / "wanted"), inside]
    mount = InputMount(shared / "wanted", "/inputs", jobs_write=True)
    request = node.request({"Image": busybox_image}, inputs=[mount])
    sources = [each["Source"] for each in bind_mounts(request, recursive_read_only=False)]
    assert sources == [str(shared / "wanted")]


@pytest.mark.parametrize("placement", [Placement.BIND, Placement.ARCHIVE], ids=["mounted", "copied"])
async def test_a_link_in_an_input_leads_only_into_the_container(
    node: Node, busybox_image: str, shared: Path
) -> None:
    outer = shared / "outer"
    outer.mkdir()
    (outer / "etc").symlink_to("/etc")
    (outer / "private").symlink_to(shared.parent / "private")
    (outer / "up").symlink_to("../../private")
    inputs = [checked(outer), checked(shared / "wanted", "/inputs/etc/new")]
    look = (
        "cat /inputs/etc/new/data; cat /inputs/private/data /inputs/up/data; ls -d /etc/new /inputs/etc/new"
    )
    finished = await node.run({"Image": busybox_image, "Parameters": ["sh", "-c", look]}, inputs=inputs)
    assert finished.stdout.startswith("allowed"), finished
    assert "/etc/new" in finished.stdout
    assert SECRET not in finished.stdout
    assert not Path("/etc/new").exists()
    assert sorted(path.name for path in outer.iterdir()) == ["etc", "private", "up"]
    # Control: here, the same names do lead there.
    assert (outer / "private/data").read_text() == (outer / "up/data").read_text() == SECRET


@pytest.mark.parametrize("placement", [Placement.ARCHIVE])
async def test_a_directory_that_becomes_a_link_while_an_input_is_copied_is_not_followed(
    node: Node, busybox_image: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is made by descriptors; the control reads the same files by their paths."""
    inner = shared / "wanted/inner"
    inner.mkdir()
    (inner / "data").write_text("allowed")

    def act() -> None:
        inner.rename(shared / "old")
        inner.symlink_to(shared.parent / "private")

    before(monkeypatch, cargo._Packer, "_entry", act)
    params = {"Image": busybox_image, "Parameters": ["cat", "/inputs/inner/data"]}
    seen: list[str] = []
    try:
        seen.append((await node.run(params, inputs=[checked(shared / "wanted")])).stdout)
    except Exception as error:
        seen.append(str(error))
    assert SECRET not in seen[0]
    assert (inner / "data").read_text() == SECRET


@pytest.mark.parametrize("placement", [Placement.ARCHIVE])
async def test_an_input_that_is_swapped_before_it_is_copied_is_not_copied(
    node: Node, busybox_image: str, shared: Path
) -> None:
    mount = checked(shared / "wanted")
    swap(shared)
    with pytest.raises(EngineError, match="is not mounted: something else lies at"):
        await node.run({"Image": busybox_image, "Parameters": ["true"]}, inputs=[mount])
    assert (node.containers(), node.volumes()) == ([], [])


def test_only_results_are_given_to_the_node_s_user_never_writable_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over: list[Path] = []
    monkeypatch.setattr(
        ownership, "hand_over_directories", lambda _d, _i, paths, _n: handed_over.extend(paths)
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1600)
    data, result = tmp_path / "shared", tmp_path / "compute/executions/e-1/results/outputs"
    mounts = [{"Type": "bind", "RW": True, "Source": str(path)} for path in (data, result)]
    container = {"Image": "an-image", "Mounts": mounts}
    ownership.hand_over(cast(Daemon, None), container, "n-1", tmp_path / "compute", lambda _path: True)
    assert handed_over == [result]
    # Control: without the directory, both would change their owner.
    ownership.hand_over(cast(Daemon, None), container, "n-1", Path("/"), lambda _path: True)
    assert handed_over == [result, data, result]
