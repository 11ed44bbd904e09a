"""GPUs for containers: what the engine is asked for, and whether it can do it, before a job is taken."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine, gpu_check
from bacalhau_jupyter.engines.docker.devices import gpu_options
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.gpu_check import ASK_AGAIN_S, REFUSED_S, GpuCheck, install_hint, refusal
from bacalhau_jupyter.models.errors import CAPACITY, EngineError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from tests.clock import ManualClock
from tests.engines.docker.conftest import Node

NVIDIA = [GPU(index=index, vendor="NVIDIA", name="Tesla T4") for index in range(4)]
AMD = GPU(index=0, vendor="AMD/ATI", name="MI210", pci_address="0000:63:00.0")
INTEL = GPU(index=0, vendor="Intel", name="Flex 170", pci_address="0000:4D:00.0")
NO_RUNTIME = (
    "the Docker Engine can't hand GPUs to containers: it has no GPU runtime "
    "(install the NVIDIA Container Toolkit)"
)


def device_files(directory: Path, *, real: bool = False) -> Path:
    """Lay out device files as drivers do; ``real`` ones are copies of /dev/null."""

    def make(path: Path) -> None:
        if real:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        else:
            path.touch()

    links = directory / "dri" / "by-path"
    links.mkdir(parents=True)
    make(directory / "kfd")
    for address, number in (("0000:63:00.0", 1), ("0000:4d:00.0", 0)):
        for kind, name in (("card", f"card{number}"), ("render", f"renderD{128 + number}")):
            make(directory / "dri" / name)
            (links / f"pci-{address}-{kind}").symlink_to(f"../{name}")
    return directory


def test_nvidia_gpus_are_asked_for_by_index() -> None:
    options = gpu_options([NVIDIA[0], NVIDIA[3]])
    assert options == {"DeviceRequests": [{"DeviceIDs": ["0", "3"], "Capabilities": [["gpu"]]}]}


CDI = {"nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=all"}


@pytest.mark.parametrize(
    ("gpus", "has_runtime", "request_of_the_engine"),
    [
        (NVIDIA[:2], False, {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]}),
        (NVIDIA[:2], True, {"DeviceIDs": ["0", "1"], "Capabilities": [["gpu"]]}),
        (NVIDIA[1:3], False, {"DeviceIDs": ["1", "2"], "Capabilities": [["gpu"]]}),
    ],
)
def test_cdi_serves_where_there_is_no_runtime_and_knows_all_of_them(
    gpus: list[GPU], has_runtime: bool, request_of_the_engine: dict[str, Any]
) -> None:
    options = gpu_options(gpus, cdi=CDI, has_runtime=has_runtime)
    assert options == {"DeviceRequests": [request_of_the_engine]}


def test_gpus_of_other_vendors_are_handed_over_as_device_files(tmp_path: Path) -> None:
    devices = gpu_options([AMD, INTEL], device_files(tmp_path))["Devices"]
    assert [Path(each["PathOnHost"]).relative_to(tmp_path).as_posix() for each in devices] == [
        "kfd",
        "dri/card1",
        "dri/renderD129",
        "dri/card0",
        "dri/renderD128",
    ]
    assert all(each["PathInContainer"] == each["PathOnHost"] for each in devices)


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (GPU(vendor="Matrox"), "vendor Matrox"),
        (GPU(), "vendor unknown"),
        (GPU(index=2, vendor="Intel", name="Arc", pci_address="0000:99:00.0"), "GPU 2 .Arc. are not"),
        (GPU(vendor="AMD/ATI"), "device files of GPU 0"),
    ],
)
def test_a_gpu_that_can_not_be_handed_over_is_an_error_that_names_it(
    gpu: GPU, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=reason):
        gpu_options([gpu], device_files(tmp_path))


def test_an_amd_gpu_without_its_compute_file_is_an_error(tmp_path: Path) -> None:
    (device_files(tmp_path) / "kfd").unlink()
    with pytest.raises(EngineError, match=r"kfd, which GPU 0 .MI210. needs, does not exist"):
        gpu_options([AMD], tmp_path)


@pytest.fixture
def checks(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what the node's checks have made; other tests' nodes make checks, too."""
    names: list[str] = []
    api = node.engine.connection.daemon.api
    make = api.import_image_from_data

    def noted(data: bytes, repository: str, tag: str) -> Any:
        names.append(repository)
        return make(data, repository=repository, tag=tag)

    monkeypatch.setattr(api, "import_image_from_data", noted)
    return names


def left_of(checks: list[str], api: Any) -> list[str]:
    containers = [name for item in api.containers(all=True) for name in item["Names"]]
    images = [tag for item in api.images() for tag in item["RepoTags"] or ()]
    return [name for name in containers + images if any(check in name for check in checks)]


async def test_an_engine_without_a_gpu_runtime_says_so_before_a_job_is_taken(
    node: Node, api: Any, busybox_image: str, checks: list[str]
) -> None:
    if "nvidia" in (api.info().get("Runtimes") or {}):
        pytest.skip("this Docker Engine has a GPU runtime")
    assert await node.engine.gpu_problem(NVIDIA[0]) == NO_RUNTIME
    assert checks
    assert left_of(checks, api) == []
    with pytest.raises(EngineError, match="it has no GPU runtime"):
        await node.run({"Image": busybox_image}, resources=Resources(gpu=1, gpus=NVIDIA[:1]))
    assert node.containers() == []


async def test_an_engine_that_gets_its_runtime_later_is_asked_again(node: Node, api: Any) -> None:
    daemon, clock = node.engine.connection._daemon, ManualClock()
    assert daemon is not None
    check = GpuCheck(daemon, node.options.node_id, clock)
    answers = [
        'could not select device driver "" with capabilities: [[gpu]]',
        "OCI runtime create failed: nvidia-container-cli: initialization error: nvml error: driver not loaded",
        "No such container: it was swept away",
        'OCI runtime create failed: exec: "/bacalhau-gpu-check": stat /bacalhau-gpu-check: no such file',
        "never asked",
    ]
    check._try = lambda gpu: answers.pop(0)  # type: ignore[method-assign]
    problems = []
    for _ in range(6):
        problems += [check.problem(NVIDIA[0]), check.problem(NVIDIA[1])]
        clock.advance(ASK_AGAIN_S + 1)
    broken = "nvidia-container-cli: initialization error: nvml error: driver not loaded"
    assert problems[:4] == [NO_RUNTIME] * 2 + [f"the GPU runtime of the Docker Engine fails: {broken}"] * 2
    assert problems[4:] == [""] * 8
    assert answers == ["never asked"]


async def test_a_gpu_that_a_container_did_not_get_is_off_for_a_while(
    node: Node, api: Any, busybox_image: str
) -> None:
    if "nvidia" in (api.info().get("Runtimes") or {}):
        pytest.skip("this Docker Engine has a GPU runtime")
    daemon = node.engine.connection._daemon
    assert daemon is not None
    # It says that it has one, as after a driver was taken away.
    daemon.runtimes = frozenset({"runc", "nvidia"})
    assert await node.engine.gpu_problem(NVIDIA[0]) == ""
    with pytest.raises(EngineError, match="it has no GPU runtime") as caught:
        await node.run({"Image": busybox_image}, resources=Resources(gpu=1, gpus=NVIDIA[:1]))
    # The job goes where it can run, and that is no failure of its own.
    assert caught.value.retryable
    assert caught.value.details[CAPACITY] == "true"
    assert await node.engine.gpu_problem(NVIDIA[0]) == caught.value.message
    assert await node.engine.gpu_problem(NVIDIA[1]) == ""
    clock = ManualClock()
    check = GpuCheck(daemon, node.options.node_id, clock)
    check.refused(NVIDIA[:1], "it was refused")
    assert check.problem(NVIDIA[0]) == "it was refused"
    clock.advance(REFUSED_S + 1)
    assert check.problem(NVIDIA[0]) == ""


def test_a_trouble_of_the_image_is_none_of_the_gpu() -> None:
    here = Endpoint("unix:///var/run/docker.sock", "default socket")
    image = (
        "OCI runtime create failed: nvidia-container-cli: requirement error: unsatisfied condition: cuda>=99"
    )
    assert refusal(image, here) == ""
    assert refusal('exec: "could not select device driver": not found', here) == ""
    gone = "OCI runtime create failed: nvidia-container-cli: device error: 1: unknown device"
    assert refusal(gone, here).endswith("nvidia-container-cli: device error: 1: unknown device")


async def test_what_the_check_takes_for_a_runtime_is_what_the_engine_says_without_gpus(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with no GPU asked for, all goes well up to the program that does not exist."""
    daemon = node.engine.connection._daemon
    assert daemon is not None
    monkeypatch.setattr(gpu_check, "gpu_options", lambda gpus: {})
    check = GpuCheck(daemon, node.options.node_id, ManualClock())
    assert check.problem(NVIDIA[0]) == ""
    assert check._is_there


@pytest.mark.parametrize(
    ("name", "value"), [("runtimes", {"runc", "nvidia"}), ("cdi_devices", {"nvidia.com/gpu=0"})]
)
async def test_an_engine_that_tells_of_a_runtime_or_of_the_device_is_believed(
    name: str, value: set[str], node: Node
) -> None:
    setattr(node.engine.connection._daemon, name, value)
    assert await node.engine.gpu_problem(NVIDIA[0]) == ""


@pytest.fixture
async def with_devices(node: Node, tmp_path: Path) -> AsyncIterator[Node]:
    """A node whose driver files lie below a directory of the test."""
    if os.geteuid() != 0:
        pytest.skip("only root can make device files")
    (tmp_path / "dev").mkdir()
    engine = DockerEngine(
        node.options, env={"DOCKER_HOST": node.url}, devices=device_files(tmp_path / "dev", real=True)
    )
    assert (await engine.probe()).available
    yield Node(engine, node.directory, node.url, node.options)
    await engine.close()


@pytest.mark.parametrize(
    ("gpu", "files"),
    [(AMD, ["dri/card1", "dri/renderD129", "kfd"]), (INTEL, ["dri/card0", "dri/renderD128"])],
)
async def test_a_container_sees_the_files_of_its_own_gpu_only(
    gpu: GPU, files: list[str], with_devices: Node, busybox_image: str, tmp_path: Path
) -> None:
    assert await with_devices.engine.gpu_problem(gpu) == ""
    find = f"cd {tmp_path}/dev && find . -type c | sort"
    done = await with_devices.run(
        {"Image": busybox_image, "Parameters": ["sh", "-c", find]}, resources=Resources(gpu=1, gpus=[gpu])
    )
    assert done.stdout.split() == [f"./{name}" for name in files]


async def test_a_gpu_without_device_files_is_a_problem_that_names_it(with_devices: Node) -> None:
    lost = GPU(index=7, vendor="Intel", name="Arc", pci_address="0000:99:00.0")
    assert "GPU 7 (Arc)" in await with_devices.engine.gpu_problem(lost)


def test_what_helps_without_a_runtime_names_the_machine_of_the_engine() -> None:
    far = install_hint(Endpoint("tcp://10.0.0.7:2376", "host gpu1", shown="host gpu1"))
    assert far.startswith("Install the NVIDIA Container Toolkit on host gpu1, or set allocated: {gpu: 0}")
    assert "on this node" in install_hint(Endpoint("unix:///var/run/docker.sock", "default socket"))
