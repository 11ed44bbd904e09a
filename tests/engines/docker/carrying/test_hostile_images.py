"""Images made to disturb what is carried: their links lead from one place of the carrier to another, or out of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tarfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.files.archive import Archive
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.docker.conftest import Node
from tests.services.far_host import FarHost

pytestmark = [pytest.mark.docker, pytest.mark.far, pytest.mark.timeout(300)]


def with_links(far: Daemon, base: str, links: Mapping[str, str]) -> str:
    """Make an image with links on the second machine; return its name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    container = far.api.create_container(base, ["true"])["Id"]
    try:
        far.api.put_archive(container, "/", packed.getvalue())
        name = f"bacalhau-jupyter-test/links-{uuid.uuid4().hex[:12]}"
        far.api.commit(container, repository=name, tag="1")
    finally:
        far.api.remove_container(container)
    return f"{name}:1"


async def test_no_image_puts_one_input_into_another_that_stays(
    node: Node, far: Daemon, far_host: FarHost, tmp_path: Path
) -> None:
    image = far_host.busybox_image()
    dataset, evil = tmp_path / "dataset", tmp_path / "evil"
    for directory, size in ((dataset, 2_000_000), (evil, 1_500_000)):
        directory.mkdir()
        (directory / directory.name).write_bytes(os.urandom(size))
    bad = with_links(far, image, {"bacalhau-files/in/1": "0"})
    await node.run(
        {"Image": bad, "Parameters": ["true"]},
        inputs=[InputMount(dataset, "/in"), InputMount(evil, "/evil")],
    )
    # Somebody else's job gets the same data.
    for directory in (dataset, evil):
        seen = await node.run(
            {"Image": image, "Parameters": ["ls", "/in"]}, inputs=[InputMount(directory, "/in")]
        )
        assert seen.stdout.split() == [directory.name]


class LyingDaemon:
    """An engine that sends links in place of results; a real one does not."""

    def __init__(self, daemon: Daemon, links: Mapping[str, str]) -> None:
        self._daemon, self._links = daemon, links

    def __getattr__(self, name: str) -> Any:
        return getattr(self._daemon, name)

    @contextlib.contextmanager
    def stream(self, *arguments: Any, **named: Any) -> Iterator[Any]:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, target in self._links.items():
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, target
                tar.addfile(member)
        yield SimpleNamespace(pieces=lambda: iter([memoryview(packed.getvalue())]))


@pytest.mark.parametrize("name", ["out", "out/0"])
async def test_no_engine_makes_our_own_files_a_result(
    node: Node, far: Daemon, far_host: FarHost, tmp_path: Path, name: str
) -> None:
    own = tmp_path / "own"
    (own / "0").mkdir(parents=True)
    (own / "0" / "key").write_text("the node's own")
    params = {"Image": far_host.busybox_image(), "Parameters": ["true"]}
    request = node.request(params, outputs={"outputs": "/outputs"})
    await node.engine.start(request)
    await node.engine.wait(request.execution.id)
    archive = Archive(cast(Daemon, LyingDaemon(far, {name: str(own)})), request)
    with pytest.raises(BacalhauError, match="sent no"):
        await asyncio.to_thread(
            archive.unload, far_host.busybox_image(), lambda reading: None, threading.Event()
        )
    assert (own / "0" / "key").exists()
    await node.engine.clean(request.execution.id)
