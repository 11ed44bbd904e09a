"""One engine, several nodes: the second way to it is refused, and what dead nodes left can be removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict
from bacalhau_jupyter.models.records.host_orders import AddHost, CleanHost, PushImage
from bacalhau_jupyter.node.node import Node
from tests.node.hosts.conftest import order
from tests.node.hosts.test_ways import tls_files
from tests.services.far_host import FarHost


async def test_a_second_way_to_the_same_engine_is_refused(
    far_host: FarHost, node: Node, api: AsyncAPI, tmp_path: Path
) -> None:
    await api.hosts.add(order(far_host))
    far_host.certificates(tmp_path)
    again = AddHost(name="gpu2", url=far_host.tls_url, tls=tls_files(tmp_path))
    with pytest.raises(Conflict, match="is the same Docker Engine as host gpu1"):
        await api.hosts.add(again)
    assert [each.name for each in (await api.hosts.list()).items] == ["gpu1"]
    assert "gpu2" not in (node.repo.path / "hosts.yaml").read_text()
    nodes = [each.info.node_id for each in (await api.nodes()).nodes]
    assert sorted(nodes) == [node.node_id, f"{node.node_id}-gpu1"]


async def test_what_a_dead_node_left_is_listed_and_removed_on_wish_only(
    far_host: FarHost, api: AsyncAPI
) -> None:
    image = far_host.busybox_image()
    labels = (
        "--label bacalhau-executor=n-dead --label bacalhau-executionID=n-deade-1 "
        "--label bacalhau-owner=ann@laptop"
    )
    far_host.shell(f"docker run -d --name dead {labels} --network none {image} sleep 600")
    far_host.shell(f"docker run -d --name own --network none {image} sleep 600")
    try:
        await api.hosts.add(order(far_host))
        (left,) = (await api.hosts.clean("gpu1", CleanHost())).items
        assert (left.node_id, left.owner, left.containers, left.running) == ("n-dead", "ann@laptop", 1, 1)
        with pytest.raises(BadRequest, match="has left nothing"):
            await api.hosts.clean("gpu1", CleanHost(remove=["n-other"]))
        with pytest.raises(Conflict, match="1 container of node n-dead runs on host gpu1: that node may be"):
            await api.hosts.clean("gpu1", CleanHost(remove=["n-dead"]))
        assert "dead" in far_host.shell("docker ps --format '{{.Names}}'").split()
        cleaned = await api.hosts.clean("gpu1", CleanHost(remove=["n-dead"], force=True))
        assert cleaned.items == []
        assert cleaned.removed == ["n-dead"]
        names = far_host.shell("docker ps -a --format '{{.Names}}'").split()
        assert "dead" not in names
        assert "own" in names
    finally:
        far_host.shell("docker rm -f dead own 2>/dev/null || true")


async def test_an_image_that_is_not_here_is_not_copied(far_host: FarHost, api: AsyncAPI) -> None:
    await api.hosts.add(order(far_host))
    for image in ("", "-rm", "nowhere.invalid/no-such-image:1"):
        with pytest.raises(BacalhauError, match="image"):
            await api.hosts.push("gpu1", PushImage(image=image))
    assert (await api.hosts.show("gpu1")).progress == ""
