"""Several nodes on one Docker Engine: whose is what, is it one engine at all, and whose is a GPU."""

from __future__ import annotations

import getpass
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.files.placement import Placement
from bacalhau_jupyter.engines.docker.sharing.claims import ALL, claims, rival
from bacalhau_jupyter.engines.docker.sharing.owners import LABEL_CREATED, LABEL_OWNER
from bacalhau_jupyter.lib.times import parse_rfc3339, rfc3339
from bacalhau_jupyter.models.errors import CAPACITY, EngineError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.docker.conftest import Node
from tests.services import leaks
from tests.services.far_host import FarHost

pytestmark = pytest.mark.usefixtures("no_leaks")

# Others than those of `test_gpus`, whose containers on the same engine would clash with the foreign one.
NVIDIA = GPU(index=6, vendor="NVIDIA", name="A100")
NOW_NS = parse_rfc3339("2026-11-30T12:00:00Z")


class TestOnARealEngine:
    @pytest.fixture
    def placement(self) -> Placement:
        return Placement.ARCHIVE

    async def test_containers_and_volumes_say_whose_they_are_and_since_when(
        self, node: Node, busybox_image: str, api: Any
    ) -> None:
        request = node.request({"Image": busybox_image, "Parameters": ["true"]}, outputs={"out": "/outputs"})
        await node.engine.start(request)
        await node.engine.wait(request.execution.id)
        volumes = [api.inspect_volume(name) for name in node.volumes()]
        labels = [each["Config"]["Labels"] for each in node.containers()] + [
            each["Labels"] for each in volumes
        ]
        assert len(labels) == 3
        for each in labels:
            assert each[LABEL_OWNER] == f"{getpass.getuser()}@{socket.gethostname()}"
            assert parse_rfc3339(each[LABEL_CREATED]) > NOW_NS - 365 * 86_400 * 10**9
        await node.engine.clean(request.execution.id)

    async def test_what_a_dead_node_left_is_listed_and_removed_on_wish_and_nothing_else(
        self, node: Node, busybox_image: str, tmp_path: Path
    ) -> None:
        dead = Node(node.engine, tmp_path / "dead", node.url, node.options)
        dead.directory.mkdir()
        dead.options = PluginOptions(node_id=leaks.owns(f"n-{uuid.uuid4()}"), data_dir=dead.directory)
        dead.engine = DockerEngine(dead.options, env={"DOCKER_HOST": node.url}, placement=Placement.ARCHIVE)
        assert (await dead.engine.probe()).available
        requests = []
        for each in (node, dead):
            request = each.request(
                {"Image": busybox_image, "Parameters": ["sleep", "600"]}, outputs={"out": "/outputs"}
            )
            await each.engine.start(request)
            requests.append(request)
        await dead.engine.close()
        there = [
            each
            for each in await node.engine.left_behind()
            if each.node_id in (node.options.node_id, dead.options.node_id)
        ]
        for request in requests:
            its = [each for each in there if each.execution_id == request.execution.id]
            assert sorted(each.kind for each in its) == ["container", "container", "volume"]
            assert sum(each.running for each in its) == 1
            assert {each.owner for each in its} == {f"{getpass.getuser()}@{socket.gethostname()}"}
            assert all(each.created_ns for each in its)
        await node.engine.remove_left([each for each in there if each.node_id == dead.options.node_id])
        assert (dead.containers(), dead.volumes()) == ([], [])
        assert len(node.containers()) == 2
        await node.engine.cancel(requests[0].execution.id)
        await node.engine.clean(requests[0].execution.id)

    async def test_a_second_way_to_an_engine_is_known_and_a_cloned_machine_is_not_taken_for_it(
        self, node: Node, far_host: FarHost
    ) -> None:
        again = node.another()
        clone = node.another({"DOCKER_HOST": far_host.engine_url})
        assert (await again.probe()).available
        assert (await clone.probe()).available
        assert await node.engine.is_same_as(again)
        assert not await node.engine.is_same_as(clone)
        clone.connection.daemon.identity = node.engine.connection.daemon.identity
        assert not await node.engine.is_same_as(clone)
        assert node.volumes() == []
        await again.close()
        await clone.close()

    @pytest.fixture
    def foreign(self, node: Node, api: Any, busybox_image: str) -> Iterator[str]:
        """A container of another node that holds the seventh GPU; no driver is needed for that."""
        config = {
            "Image": busybox_image,
            "Labels": {"bacalhau-executor": "n-other", LABEL_OWNER: "ann@laptop"},
            "HostConfig": {"DeviceRequests": [{"DeviceIDs": ["6"], "Capabilities": [["gpu"]]}]},
        }
        made = api.create_container_from_config(config)["Id"]
        yield made
        api.remove_container(made, force=True)

    async def test_a_gpu_that_another_node_has_granted_is_not_granted_again(
        self, node: Node, busybox_image: str, foreign: str
    ) -> None:
        assert foreign
        params = {"Image": busybox_image, "Parameters": ["true"]}
        with pytest.raises(EngineError, match=r"given to a job of ann@laptop at the same time") as raised:
            await node.run(params, resources=Resources(gpu=1, gpus=[NVIDIA]))
        assert raised.value.retryable
        # So the job waits, or goes elsewhere.
        assert raised.value.event_details()[CAPACITY] == "true"
        assert (node.containers(), node.volumes()) == ([], [])
        # The control: of another GPU, only the engine itself has something to say.
        second = GPU(index=7, vendor="NVIDIA", name="A100")
        try:
            await node.run(params, resources=Resources(gpu=1, gpus=[second]))
        except EngineError as error:
            assert "at the same time" not in error.message


def container(
    node_id: str, *gpus: str, made_s: float = 0, status: str = "running", identifier: str = "c"
) -> dict[str, Any]:
    """What an engine says of a container with NVIDIA GPUs, ``all`` of them, or device files."""
    requests: list[dict[str, Any]] = [{"DeviceIDs": [gpu]} for gpu in gpus if gpu.isdigit()]
    requests += [{"Count": -1} for gpu in gpus if gpu == ALL]
    return {
        "Id": identifier,
        "Created": rfc3339(NOW_NS + int(made_s * 1e9)),
        "State": {"Status": status},
        "Config": {"Labels": {"bacalhau-executor": node_id} if node_id else {}},
        "HostConfig": {
            "DeviceRequests": requests,
            "Devices": [{"PathOnHost": gpu} for gpu in gpus if gpu.startswith("/")],
        },
    }


@pytest.mark.parametrize(
    ("gpus", "names"),
    [
        ((), set()),
        (("0", "1"), {"nvidia:0", "nvidia:1"}),
        ((ALL,), {ALL}),
        (("/dev/dri/renderD128", "/dev/kfd"), {"/dev/dri/renderD128"}),
    ],
)
def test_what_a_container_has_been_given(gpus: tuple[str, ...], names: set[str]) -> None:
    assert claims(container("n", *gpus)) == names


def test_a_gpu_by_cdi_is_the_same_one() -> None:
    described = {"HostConfig": {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]}}
    assert claims(described) == claims(container("n", "0"))


@pytest.mark.parametrize(
    ("other", "clashes"),
    [
        (container("n-b", "0", made_s=-1), True),
        (container("n-b", ALL, made_s=-1), True),
        (container("n-b", "0", made_s=-1, status="created"), True),
        (container("n-b", "0", made_s=-7200, status="created"), False),
        (container("n-b", "0", made_s=-1, status="exited"), False),
        (container("n-b", "1", made_s=-1), False),
        (container("n-b", made_s=-1), False),
        (container("n-b", "0", made_s=1), False),
        # Our own account knows of ours, and a monitor is no job.
        (container("n-a", "0", made_s=-1), False),
        (container("", ALL, made_s=-1), False),
    ],
)
def test_the_container_that_was_made_later_gives_way(other: dict[str, Any], clashes: bool) -> None:
    assert (rival(container("n-a", "0"), [other]) is not None) is clashes


gpu_sets = st.sets(st.sampled_from(["0", "1", ALL]), min_size=1).map(tuple)


@given(st.lists(st.tuples(gpu_sets, st.integers(0, 3)), min_size=2, max_size=5))
def test_of_all_that_clash_one_stays(made: list[tuple[tuple[str, ...], int]]) -> None:
    every = [
        container(f"n-{number}", *gpus, made_s=when, identifier=f"c{number}")
        for number, (gpus, when) in enumerate(made)
    ]
    stays = [one for one in every if rival(one, [each for each in every if each is not one]) is None]
    assert stays
    held = [claims(one) for one in stays]
    for number, mine in enumerate(held):
        for theirs in held[number + 1 :]:
            assert ALL not in mine | theirs
            assert not mine & theirs
