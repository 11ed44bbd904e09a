"""GPUs of a host: the vendors' tools there (stand-ins), placement by kind, and what others hold."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.engines.docker.devices import gpu_options
from bacalhau_jupyter.grammar.hosts.shown import hosts_table
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.records.host_orders import AddHost
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.node.hosts.mirror import mirror
from tests.node.hosts.conftest import order
from tests.services import gpu_tools
from tests.services.far_host import FarHost
from tests.services.waiting import until


@pytest.fixture
def gpu_host(far_host: FarHost, tmp_path: Path) -> Iterator[FarHost]:
    """The second machine, with the tools of three vendors on its PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    gpu_tools.install(tools)
    far_host.shell("mount -t tmpfs none /usr/local/bin")
    for path in tools.iterdir():
        text = base64.b64encode(path.read_bytes()).decode()
        target = f"/usr/local/bin/{path.name}"
        far_host.shell(f"echo {text} | base64 -d >{target} && chmod 755 {target}")
    yield far_host
    far_host.shell("umount /usr/local/bin")


async def node_of(api: AsyncAPI, order_of: AddHost) -> NodeState:
    added = await api.hosts.add(order_of)
    return (await api.node(added.node_id)).node


async def test_gpus_there_are_offered_by_kind_and_those_of_others_are_busy(
    gpu_host: FarHost, api: AsyncAPI
) -> None:
    state = await node_of(api, order(gpu_host))
    compute = state.info.compute_node_info
    assert [(gpu.vendor, gpu.index) for gpu in compute.max_capacity.gpus] == [
        ("NVIDIA", 0),
        ("NVIDIA", 1),
        ("AMD/ATI", 0),
        ("AMD/ATI", 1),
        ("Intel", 0),
    ]
    assert state.info.labels["GPU-0"] == "NVIDIA-A100-SXM4-40GB"

    async def tells_what_is_missing() -> bool:
        facts = (await api.hosts.show("gpu1")).facts
        return facts is not None and "it has no GPU runtime" in facts.gpu_problems.get("docker", "")

    await until(tells_what_is_missing, timeout_s=60)
    # A job for another kind of GPU is told so; it never gets here.
    job = docker("busybox", "true", gpu=1, constraints="GPU-0=Tesla-T4", host="gpu1", queue_timeout=600)
    answer = await api.submit(job)

    async def is_told() -> bool:
        verdicts = (await api.explain(answer.job_id)).nodes
        return any("lacks the labels" in each.reason for each in verdicts)

    await until(is_told, timeout_s=60)


def test_device_files_there_are_handed_over_by_their_own_names(tmp_path: Path) -> None:
    files = {
        "0000:e7:00.0": ["dri/card1", "dri/renderD129"],
        "0000:e8:00.0": ["dri/renderD130", "../../etc/shadow"],
        "../x": ["dri/card7"],
        "kfd": ["kfd"],
    }
    mirror(tmp_path / "devices", {"0000:e9:00.0": ["dri/card9"]})
    mirror(tmp_path / "devices", files)
    amd = GPU(index=0, name="MI210", vendor="AMD/ATI", pci_address="0000:E7:00.0")
    options = gpu_options([amd], tmp_path / "devices", there=Path("/dev"))
    assert [each["PathOnHost"] for each in options["Devices"]] == [
        "/dev/kfd",
        "/dev/dri/card1",
        "/dev/dri/renderD129",
    ]
    gone = GPU(index=1, name="Flex", vendor="Intel", pci_address="0000:e9:00.0")
    with pytest.raises(EngineError, match=r"device files of GPU 1 \(Flex\) are not below /dev/dri"):
        gpu_options([gone], tmp_path / "devices", there=Path("/dev"))
    assert not (tmp_path / "etc").exists()


def test_device_files_that_stay_are_not_made_anew_when_the_machine_is_looked_at_again(tmp_path: Path) -> None:
    def made() -> dict[str, tuple[int, int]]:
        return {path.name: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in links.iterdir()}

    files = {"0000:e7:00.0": ["dri/card1", "dri/renderD129"]}
    links = tmp_path / "devices" / "dri" / "by-path"
    mirror(tmp_path / "devices", files)
    before = made()
    assert before.keys() == {"pci-0000:e7:00.0-card", "pci-0000:e7:00.0-render"}
    mirror(tmp_path / "devices", {**files, "0000:e9:00.0": ["dri/card9"]})
    assert made().items() > before.items()
    mirror(tmp_path / "devices", {"0000:e7:00.0": ["dri/card2", "dri/renderD129"]})
    assert (links / "pci-0000:e7:00.0-card").resolve().name == "card2"
    assert sorted(path.name for path in links.parent.iterdir()) == ["by-path", "card2", "renderD129"]
    assert made()["pci-0000:e7:00.0-render"] == before["pci-0000:e7:00.0-render"]


async def test_what_a_person_says_of_gpus_wins(far_host: FarHost, api: AsyncAPI) -> None:
    said = [GPU(index=0, name="A100", vendor="NVIDIA", memory=81920)]
    state = await node_of(api, order(far_host, gpus=said))
    assert state.info.compute_node_info.max_capacity.gpus == said
    assert state.info.labels["GPU-0-Memory"] == "81920-MiB"


async def test_a_refusal_names_the_host_as_people_do(far_host: FarHost, api: AsyncAPI) -> None:
    said = [GPU(index=0, name="A100", vendor="NVIDIA", memory=81920)]
    await api.hosts.add(order(far_host, gpus=said))
    image = far_host.busybox_image()
    job = await api.submit(docker(image, "true", gpu=1, host="gpu1", queue_timeout=600))

    async def is_named() -> bool:
        reasons = [each.reason for each in (await api.explain(job.job_id)).nodes]
        is_told = any(
            "host gpu1 can give docker jobs 0 of its 1 GPUs: the Docker Engine of host gpu1 can't hand GPUs"
            in reason
            for reason in reasons
        )
        assert is_told or not any("this node can" in reason for reason in reasons), reasons
        return is_told

    await until(is_named, timeout_s=60)
    (listed,) = (await api.hosts.list()).items
    table = hosts_table(await api.hosts.list())
    assert listed.facts is not None
    assert "no GPU runtime" in str(table.rows[0][-1])


async def test_what_somebody_frees_is_seen_at_once(far_host: FarHost, api: AsyncAPI) -> None:
    image = far_host.busybox_image()
    far_host.shell(f"docker run -d --name training --cpus 0.5 --memory 64m --network none {image} sleep 600")
    await api.hosts.add(order(far_host))

    async def held() -> float:
        facts = (await api.hosts.show("gpu1")).facts
        return -1 if facts is None else facts.taken.cpu

    async def is_held() -> bool:
        return await held() == 0.5

    async def is_free() -> bool:
        return await held() == 0

    await until(is_held, timeout_s=60)
    far_host.shell("docker rm -f training")
    # Long before the machine is asked the next time.
    await until(is_free, timeout_s=60)


async def test_a_container_of_somebody_else_counts(far_host: FarHost, api: AsyncAPI) -> None:
    image = far_host.busybox_image()
    far_host.shell(f"docker run -d --name training --cpus 0.5 --memory 64m --network none {image} sleep 600")
    try:
        added = await api.hosts.add(order(far_host))
        assert added.facts is not None
        assert [user.name for user in added.facts.others] == ["training"]
        assert added.facts.taken.cpu == 0.5
        assert added.facts.taken.memory == 64 << 20

        async def counts() -> bool:
            record = await api.hosts.show("gpu1")
            return record.free.cpu == pytest.approx(record.capacity.cpu - 0.5)

        await until(counts, timeout_s=60)
    finally:
        far_host.shell("docker rm -f training")
