"""GPUs for process jobs; the device files are stand-ins that only a path tells apart."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process import ProcessEngine
from bacalhau_jupyter.engines.process.tiers import Bubblewrap, Restricted
from bacalhau_jupyter.engines.supervised.gpus import Driver, NoAccess, access
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from tests.engines.process.bench import SYSTEM_PYTHON, Bench

NVIDIA = [GPU(index=index, vendor="NVIDIA", name="T4") for index in range(3)]
AMD = GPU(vendor="AMD/ATI", name="MI210", pci_address="0000:63:00.0")
INTEL = GPU(vendor="Intel", name="Flex 170", pci_address="0000:4d:00.0")
UUIDS = [f"GPU-{number:08d}-aaaa-bbbb-cccc-0123456789ab" for number in range(3)]
MINORS = (2, 0, 1)
"""The driver's own numbers need not be in the order of the PCI addresses."""
LOOK = """
import glob, json, os
print(json.dumps({
    "files": sorted(set(glob.glob("/dev/nvidia*") + glob.glob("/dev/kfd") + glob.glob("/dev/dri/*"))),
    "facts": os.path.exists("/sys/class/drm"),
    "opened": [open(name, "r+b", 0).write(b"x") for name in glob.glob("/dev/nvidia[0-9]*")],
    "variables": {name: text for name, text in os.environ.items() if "VISIBLE" in name or "MASK" in name},
}))
"""


def driver_of(place: Path, *, real: bool = False) -> Driver:
    """Lay out what drivers show of three GPUs of NVIDIA, one of AMD and one of Intel."""
    driver = Driver(place / "dev", place / "gpus", place / "sys")
    links = driver.devices / "dri" / "by-path"
    links.mkdir(parents=True)

    def make(name: str) -> None:
        path = driver.devices / name
        if real:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            path.chmod(0o666)
        else:
            path.touch(0o666)
            path.chmod(0o666)

    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "kfd"):
        make(name)
    for address, number in (("0000:63:00.0", 1), ("0000:4d:00.0", 0)):
        for kind, name in (("card", f"card{number}"), ("render", f"renderD{128 + number}")):
            make(f"dri/{name}")
            (links / f"pci-{address}-{kind}").symlink_to(f"../{name}")
    for index, (uuid, minor) in enumerate(zip(UUIDS, MINORS, strict=True)):
        card = driver.nvidia / f"0000:0{index}:00.0"
        card.mkdir(parents=True)
        (card / "information").write_text(f"Model: \t T4\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n")
    (driver.system / "class/drm").mkdir(parents=True)
    return driver


def test_gpus_of_nvidia_are_found_by_their_order_and_named_by_their_uuid(tmp_path: Path) -> None:
    got = access([NVIDIA[0], NVIDIA[2]], driver=driver_of(tmp_path))
    assert [place for _, place in got.files] == [
        "/dev/nvidia2",
        "/dev/nvidia1",
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-modeset",
    ]
    assert got.variables == {
        "CUDA_VISIBLE_DEVICES": f"{UUIDS[0]},{UUIDS[2]}",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    assert got.facts == ()


@pytest.mark.parametrize("information", ["", "GPU UUID: GPU-????????-????\nDevice Minor: 7\n", "\0\xff"])
def test_a_uuid_that_the_driver_does_not_tell_is_not_made_up(information: str, tmp_path: Path) -> None:
    driver = driver_of(tmp_path)
    (driver.nvidia / "0000:00:00.0" / "information").write_text(information)
    (driver.devices / "nvidia7").touch(0o666)
    got = access([NVIDIA[0], NVIDIA[1]], driver=driver)
    assert got.variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert got.files[0][1] == ("/dev/nvidia7" if "Minor" in information else "/dev/nvidia0")


def test_gpus_of_other_vendors_come_with_what_their_libraries_read(tmp_path: Path) -> None:
    driver = driver_of(tmp_path)
    got = access([AMD, INTEL], driver=driver)
    assert [place for _, place in got.files] == [
        "/dev/kfd",
        "/dev/dri/card1",
        "/dev/dri/renderD129",
        "/dev/dri/card0",
        "/dev/dri/renderD128",
    ]
    assert got.variables == {
        "HIP_VISIBLE_DEVICES": "0",
        "ROCR_VISIBLE_DEVICES": "0",
        "ZE_AFFINITY_MASK": "0",
    }
    assert got.facts == (driver.system / "class/drm",)


@pytest.mark.parametrize(
    ("gpu", "missing", "reason"),
    [
        (NVIDIA[1], "nvidia0", r"/dev/nvidia0 does not exist \(is the GPU's driver loaded"),
        (NVIDIA[1], "nvidia-uvm", "/dev/nvidia-uvm does not exist"),
        (AMD, "kfd", "/dev/kfd does not exist"),
        (INTEL, "dri/by-path/pci-0000:4d:00.0-card", ""),
        (GPU(vendor="Intel", index=4, name="Arc"), "", r"GPU 4 \(Arc\) are not in /dev/dri"),
        (GPU(vendor="Matrox"), "", "vendor Matrox"),
    ],
)
def test_a_gpu_without_its_files_is_refused_by_name(
    gpu: GPU, missing: str, reason: str, tmp_path: Path
) -> None:
    driver = driver_of(tmp_path)
    if missing:
        (driver.devices / missing).unlink()
    if reason:
        with pytest.raises(NoAccess, match=reason):
            access([gpu], driver=driver)
    else:
        assert access([gpu], driver=driver).files


def test_files_that_are_closed_to_the_jobs_of_a_node_of_root_are_told(tmp_path: Path) -> None:
    driver = driver_of(tmp_path)
    (driver.devices / "dri" / "renderD129").chmod(0o660)
    with pytest.raises(
        NoAccess, match=r"/dev/dri/renderD129 is closed to the users that jobs of a node of root"
    ):
        access([AMD], 61500, driver)


@pytest.fixture
async def with_gpus(tmp_path: Path) -> AsyncIterator[Bench]:
    """An engine with bubblewrap on a host with GPUs."""
    if os.geteuid() != 0 or SYSTEM_PYTHON is None:
        pytest.skip("only root can make device files")
    bench = Bench(tmp_path, Bubblewrap())
    driver = driver_of(tmp_path / "driver", real=True)
    bench.engine = ProcessEngine(bench.options, tiers=[Bubblewrap()], driver=driver)
    if problem := await bench.open():
        pytest.skip(problem)
    yield bench
    await bench.close()


async def test_a_job_sees_and_opens_its_own_gpu_only(with_gpus: Bench) -> None:
    assert await with_gpus.engine.gpu_problem(NVIDIA[0]) == ""
    done = await with_gpus.python(LOOK, resources=Resources(gpu=1, gpus=NVIDIA[:1]))
    assert done.outcome.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {
        "files": ["/dev/nvidia-modeset", "/dev/nvidia-uvm", "/dev/nvidia2", "/dev/nvidiactl"],
        "facts": False,
        "opened": [1],
        "variables": {"CUDA_VISIBLE_DEVICES": UUIDS[0]},
    }


async def test_a_job_that_asks_for_none_sees_none(with_gpus: Bench) -> None:
    done = await with_gpus.python(LOOK)
    assert json.loads(done.stdout) == {"files": [], "facts": False, "opened": [], "variables": {}}


async def test_a_variable_of_the_job_does_not_choose_another_gpu(with_gpus: Bench) -> None:
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    done = await with_gpus.python(
        code, resources=Resources(gpu=1, gpus=NVIDIA[:1]), env={"CUDA_VISIBLE_DEVICES": "all"}
    )
    assert done.stdout.strip() == UUIDS[0]


async def test_a_gpu_that_has_gone_since_the_bid_fails_the_start_with_its_reason(with_gpus: Bench) -> None:
    with pytest.raises(EngineError, match="/dev/dri"):
        await with_gpus.python("1", resources=Resources(gpu=1, gpus=[GPU(vendor="Intel")]))


async def test_a_tier_that_can_not_mount_gives_no_gpus_and_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Restricted())
    if problem := await bench.open():
        pytest.skip(problem)
    try:
        reason = await bench.engine.gpu_problem(NVIDIA[0])
        assert reason == (
            "process jobs get GPUs only where bubblewrap works (this node has: restricted process (Landlock+seccomp))"
        )
    finally:
        await bench.close()
