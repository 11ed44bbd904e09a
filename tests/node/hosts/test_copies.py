"""What goes to a host for a job: an image that only this machine has, and an input, once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.host_orders import CleanHost, PushImage
from tests.engines.docker.carrying.conftest import add_layer, remove_image
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.test_hosts import ended
from tests.services import docker_engine as services
from tests.services.far_host import FarHost
from tests.services.node import running_node
from tests.services.waiting import until

IMAGE = "bacalhau-jupyter-test/only-here:1"
SIZE = 3_000_000


@pytest.fixture
def only_here(docker_engine: str, busybox_image: str, far_host: FarHost) -> Iterator[str]:
    """An image that this machine has and no registry."""
    near, far = services.client(docker_engine), services.client(far_host.engine_url)
    add_layer(near.api, busybox_image, IMAGE, SIZE)
    yield IMAGE
    for client in (near, far):
        remove_image(client.api, IMAGE)
        client.close()


async def test_a_job_brings_its_image_and_its_input_and_clean_removes_what_stays(
    far_host: FarHost,
    node_config: MakeConfig,
    only_here: str,
    docker_engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_bytes(os.urandom(SIZE))
    config = node_config(WebUI__Enabled=False, Compute__AllowListedLocalPaths=[f"{data}/**", str(data)])
    source = SpecConfig(type="localDirectory", params={"SourcePath": str(data)})
    async with running_node(config) as node, client_of(node) as api:
        added = await api.hosts.add(order(far_host))
        for number in range(2):
            job = docker(
                only_here,
                "wc -c < /data/file",
                host="gpu1",
                inputs=[InputSource(source=source, target="/data")],
            )
            identifier = (await api.submit(job)).job_id
            assert await ended(api, identifier) is JobStateType.COMPLETED
            output = (await api.executions(identifier)).items[0].run_output
            assert output is not None
            assert output.stdout.strip() == str(SIZE)
            events = [each.event.message for each in (await api.history(identifier)).items]
            copied = [text for text in events if "will be copied from this machine" in text]
            assert len(copied) == (1 if number == 0 else 0), events
        await api.hosts.push("gpu1", PushImage(image=only_here))

        async def is_tidy() -> bool:
            return not any(each.containers for each in (await api.hosts.clean("gpu1", CleanHost())).items)

        # What a job had is removed after its end has been told.
        await until(is_tidy, timeout_s=60)
        (kept,) = (await api.hosts.clean("gpu1", CleanHost())).items
        assert (kept.node_id, kept.is_own, kept.volumes) == (added.node_id, True, 1)
        with pytest.raises(BadRequest, match="has left nothing"):
            await api.hosts.clean("gpu1", CleanHost(remove=["n-other"]))
        cleaned = await api.hosts.clean("gpu1", CleanHost(remove=[added.node_id]))
        assert (cleaned.items, cleaned.removed) == ([], [added.node_id])
