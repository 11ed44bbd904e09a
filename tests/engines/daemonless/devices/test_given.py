"""GPUs for jobs in images without a Docker Engine; the device files are stand-ins."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.daemonless.devices.given import NOTHING, given, machine_of
from bacalhau_jupyter.engines.daemonless.engine import DaemonlessEngine
from bacalhau_jupyter.engines.images.contract import ImageConfig
from bacalhau_jupyter.engines.supervised.gpus import NoAccess
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.daemonless.bench import Bench, Ran, Trees, daemonless
from tests.engines.daemonless.devices.specification import UUIDS, Fake, hook
from tests.services.images import BUSYBOX

NVIDIA = [GPU(index=index, vendor="NVIDIA", name="T4") for index in range(2)]
AMD = GPU(vendor="AMD/ATI", name="MI210", pci_address="0000:63:00.0")
LOOK = (
    'for each in /dev/nvidia*; do echo "$each $(stat -c %t:%T $each)"; done; readlink /usr/lib/driver/libcuda.so;'
    "readlink /usr/lib/driver/libcuda.so.1; head -c 4 /usr/lib/driver/libcuda.so.1 | tail -c 3;"
    "echo; echo $NVIDIA_VISIBLE_DEVICES $LD_LIBRARY_PATH; nvidia-smi -L"
)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """A machine of two GPUs without real device files."""
    return Fake(tmp_path / "machine", real=False)


@pytest.fixture
async def with_gpus(store: Trees, tmp_path: Path) -> AsyncIterator[tuple[Bench, Fake]]:
    """The engine on a machine of two GPUs; its device files are its own where root can make some."""
    fake = Fake(tmp_path / "machine", real=os.geteuid() == 0)
    bench = daemonless(tmp_path, store, fake.machine)
    if problem := (await bench.engine.probe()).problem:
        pytest.skip(problem)
    yield bench, fake
    for execution_id in await bench.engine.existing():
        await bench.engine.clean(execution_id)
    await bench.engine.close()


async def run(bench: Bench, script: str, *gpus: GPU, image: str = BUSYBOX) -> Ran:
    ran = await bench.sh(script, image, resources=Resources(gpu=len(gpus), gpus=list(gpus)))
    assert ran.stderr == ""
    return ran


# --- what a specification means -----------------------------------------------------------------------------------


def test_a_job_without_gpus_gets_nothing(fake: Fake) -> None:
    assert given([], -1, fake.machine) is NOTHING


def test_two_gpus_have_what_they_share_once(fake: Fake) -> None:
    got = given(NVIDIA, -1, fake.machine)
    assert [place for _, place in got.files] == [
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia0",
        "/dev/nvidia1",
    ]
    assert [each.target for each in got.mounts] == [
        "/usr/lib/driver/libcuda.so.550.54",
        "/usr/bin/nvidia-smi",
    ]
    assert not any(each.writable for each in got.mounts)
    assert got.links == (
        ("libcuda.so.1", "/usr/lib/driver/libcuda.so"),
        ("libcuda.so.550.54", "/usr/lib/driver/libcuda.so.1"),
    )


def test_a_gpu_is_found_by_its_uuid(fake: Fake) -> None:
    fake.devices = {uuid: fake.devices[str(index)] for index, uuid in enumerate(UUIDS)}
    fake.write()
    assert given(NVIDIA[1:], -1, fake.machine).files[-1][1] == "/dev/nvidia1"


def test_without_a_specification_the_reason_says_what_helps(fake: Fake) -> None:
    (Path(fake.machine.specifications[0]) / "nvidia.yaml").unlink()
    with pytest.raises(NoAccess) as caught:
        given(NVIDIA[:1], -1, fake.machine)
    assert str(caught.value) == (
        "docker jobs get NVIDIA's GPUs from a Docker Engine, which this node does not have, or by CDI: no CDI "
        "specification has nvidia.com/gpu=0 (nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml)"
    )


def test_the_settings_name_the_directories(fake: Fake) -> None:
    assert [str(each) for each in machine_of(None).specifications] == ["/etc/cdi", "/var/run/cdi"]
    named = machine_of([str(each) for each in fake.machine.specifications])
    assert given(NVIDIA[:1], -1, replace(named, driver=fake.machine.driver)).files
    with pytest.raises(NoAccess, match=r"Engines.Docker.CDISpecDirs takes absolute paths, not cdi"):
        given(NVIDIA[:1], -1, machine_of(["cdi"]))


def test_sockets_of_services_are_left_out(fake: Fake) -> None:
    folder = fake.libraries / "mps"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as inner:
        listening.bind(str(fake.libraries / "socket"))
        inner.bind(str(folder / "control"))
        fake.common["mounts"] += [
            fake.mount("socket", "/run/x/socket"),
            fake.mount("mps", "/run/mps"),
            {"hostPath": "/run/none/of-a-service", "containerPath": "/run/y"},
        ]
        fake.write()
        assert len(given(NVIDIA[:1], -1, fake.machine).mounts) == 2


def test_a_device_among_the_mounts_is_a_device(fake: Fake) -> None:
    fake.common["mounts"].append({"hostPath": str(fake.devices_at / "nvidia1"), "containerPath": "/dev/dxg"})
    fake.write()
    assert (fake.devices_at / "nvidia1", "/dev/dxg") in given(NVIDIA[:1], -1, fake.machine).files


def put(fake: Fake, mode: int) -> None:
    """Put a file in place of a device."""
    path = fake.devices_at / "nvidia0"
    path.unlink()
    path.touch()
    path.chmod(mode)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda fake: (fake.libraries / "nvidia-smi").unlink(),
            "nvidia-smi does not exist, and the CDI spec.*make it again",
        ),
        (lambda fake: (fake.devices_at / "nvidia0").unlink(), "/dev/nvidia0 does not exist"),
        (lambda fake: put(fake, 0o600), "/dev/nvidia0 is closed to the users that jobs of a node of root"),
        (
            lambda fake: put(fake, 0o666),
            "names .*/nvidia0 as a device file, but it is not a character device",
        ),
        (
            lambda fake: fake.devices["0"]["deviceNodes"].append({"path": "/etc/passwd"}),
            "outside of /dev, at /etc/passwd",
        ),
        (lambda fake: fake.devices["0"].update(hooks=[hook("other")]), "a hook that is not known here"),
    ],
)
def test_what_keeps_a_gpu_from_a_job_is_told(
    fake: Fake, change: Callable[[Fake], object], reason: str
) -> None:
    change(fake)
    fake.write()
    with pytest.raises(NoAccess, match=reason):
        given(NVIDIA[:1], 61500, fake.machine)


def test_gpus_of_other_vendors_need_no_specification(fake: Fake) -> None:
    links = fake.devices_at / "dri" / "by-path"
    links.mkdir(parents=True)
    for name in ("kfd", "dri/renderD128"):
        (fake.devices_at / name).touch()
        (fake.devices_at / name).chmod(0o666)
    (links / "pci-0000:63:00.0-render").symlink_to("../renderD128")
    got = given([AMD], -1, fake.machine)
    assert [place for _, place in got.files] == ["/dev/kfd", "/dev/dri/renderD128"]
    assert got.mounts == ()


# --- jobs ---------------------------------------------------------------------------------------------------------


async def test_a_job_sees_its_gpu_and_the_driver(with_gpus: tuple[Bench, Fake]) -> None:
    bench, _ = with_gpus
    assert isinstance(bench.engine, DaemonlessEngine)
    assert await bench.engine.gpu_problem(NVIDIA[1]) == ""
    assert (await run(bench, LOOK, NVIDIA[1])).stdout == (
        "/dev/nvidia-uvm 1:7\n/dev/nvidia1 1:5\n/dev/nvidiactl 1:8\nlibcuda.so.1\nlibcuda.so.550.54\nELF\n"
        "void /usr/lib/driver\nsmi of the driver -L\n"
    )


async def test_two_jobs_at_once_see_their_own_gpu_only(with_gpus: tuple[Bench, Fake]) -> None:
    bench, _ = with_gpus
    script = (
        "ls /dev/nvidia[0-9]*; head -c 1 /dev/nvidia1 2> /dev/null | wc -c; echo > /outputs/here; sleep 1"
    )
    first, second = await asyncio.gather(run(bench, script, NVIDIA[0]), run(bench, script, NVIDIA[1]))
    assert first.stdout == "/dev/nvidia0\n0\n"
    assert second.stdout == "/dev/nvidia1\n1\n"


async def test_a_job_that_asks_for_none_sees_none(with_gpus: tuple[Bench, Fake]) -> None:
    ran = await run(
        with_gpus[0], "ls /dev | grep -c nvidia; ls -d /usr/lib/driver 2> /dev/null; which nvidia-smi"
    )
    assert ran.stdout == "0\n"


async def test_nothing_of_the_driver_can_be_changed(with_gpus: tuple[Bench, Fake]) -> None:
    bench, fake = with_gpus
    before = (fake.libraries / "nvidia-smi").read_bytes()
    script = (
        "for f in /usr/bin/nvidia-smi /usr/lib/driver/*; do echo evil 2> /dev/null >> $f; chmod 777 $f; rm -f $f; done"
        " 2> /dev/null; mknod /tmp/n c 1 5 2> /dev/null; head -c 1 /tmp/n 2> /dev/null | wc -c;"
        "chmod 0 /dev/nvidia0 2> /dev/null; chown 7 /dev/nvidia0 2> /dev/null; touch -d @1 /dev/nvidia0 2> /dev/null;"
        "rm -f /dev/nvidia0 2> /dev/null; echo written > /dev/nvidia0; echo tried"
    )
    facts = (fake.devices_at / "nvidia0").stat()
    assert (await run(bench, script, NVIDIA[0])).stdout == "0\ntried\n"
    assert (fake.libraries / "nvidia-smi").read_bytes() == before
    after = (fake.devices_at / "nvidia0").stat()
    assert (after.st_mode, after.st_uid, after.st_ctime_ns) == (
        facts.st_mode,
        facts.st_uid,
        facts.st_ctime_ns,
    )


async def test_a_program_of_the_driver_is_a_command(with_gpus: tuple[Bench, Fake]) -> None:
    params = {"Image": BUSYBOX, "Entrypoint": ["nvidia-smi", "-q"]}
    ran = await with_gpus[0].run(params, resources=Resources(gpu=1, gpus=NVIDIA[:1]))
    assert ran.stdout == "smi of the driver -q\n"


async def test_links_of_an_image_lead_no_file_of_the_driver_out_of_it(
    with_gpus: tuple[Bench, Fake], store: Trees, busybox_tree: Path, tmp_path: Path
) -> None:
    bench, _ = with_gpus
    canary = tmp_path / "canary"
    canary.mkdir()
    tree = tmp_path / "hostile"
    process = await asyncio.create_subprocess_exec("cp", "-a", str(busybox_tree), str(tree))
    await process.wait()
    (tree / "usr/lib").mkdir(parents=True, exist_ok=True)
    (tree / "usr/lib/driver").symlink_to(canary)
    (tree / "usr/bin/nvidia-smi").symlink_to("/nowhere/smi")
    store.add("hostile", tree, ImageConfig("amd64", "linux", env=("PATH=/bin:/usr/bin",)))
    ran = await run(bench, f"ls {canary}", NVIDIA[0], image="hostile")
    assert ran.stdout == "libcuda.so\nlibcuda.so.1\nlibcuda.so.550.54\n"
    assert list(canary.iterdir()) == []


async def test_an_image_that_has_a_file_in_the_way_is_told(
    with_gpus: tuple[Bench, Fake], store: Trees, busybox_tree: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "other"
    process = await asyncio.create_subprocess_exec("cp", "-a", str(busybox_tree), str(tree))
    await process.wait()
    (tree / "usr/lib").mkdir(parents=True, exist_ok=True)
    (tree / "usr/lib/driver").write_text("a file")
    store.add("other", tree, ImageConfig("amd64", "linux"))
    with pytest.raises(
        EngineError, match=r"/usr/lib/driver/libcuda.so.550.54, in this image: not a directory"
    ):
        await run(with_gpus[0], "true", NVIDIA[0], image="other")


async def test_an_input_in_the_place_of_the_driver_is_told(
    with_gpus: tuple[Bench, Fake], tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("x")
    with pytest.raises(EngineError, match="the same place, /usr/bin/nvidia-smi"):
        await with_gpus[0].sh(
            "true",
            inputs=[InputMount(tmp_path / "in", "/usr/bin/nvidia-smi")],
            resources=Resources(gpu=1, gpus=NVIDIA[:1]),
        )


async def test_a_gpu_that_has_gone_since_the_bid_fails_the_start(with_gpus: tuple[Bench, Fake]) -> None:
    bench, fake = with_gpus
    (fake.devices_at / "nvidia0").unlink()
    with pytest.raises(EngineError, match="/dev/nvidia0 does not exist") as caught:
        await run(bench, "true", NVIDIA[0])
    assert caught.value.retryable
    assert await bench.engine.existing() == []


async def test_the_linker_of_an_image_finds_the_driver(
    with_gpus: tuple[Bench, Fake], store: Trees, python_tree: Path
) -> None:
    bench, fake = with_gpus
    (original,) = [path for path in python_tree.glob("usr/lib/*/libz.so.1.*") if not path.is_symlink()]
    (fake.libraries / "libz.so.9").write_bytes(original.read_bytes())
    fake.common["mounts"].append(fake.mount("libz.so.9", "/usr/lib/driver/libz.so.9"))
    fake.common["hooks"].append(
        hook("update-ldcache", "--folder", f"/{original.parent.relative_to(python_tree)}")
    )
    fake.write()
    store.add("python", python_tree, ImageConfig("amd64", "linux", env=("LD_LIBRARY_PATH=/opt/own",)))
    code = (
        "import ctypes, os; ctypes.CDLL('libz.so.1'); print(os.environ['LD_LIBRARY_PATH']);"
        "print({line.split()[-1] for line in open('/proc/self/maps') if 'libz' in line})"
    )
    params = {"Image": "python", "Entrypoint": ["/usr/bin/python3", "-S", "-c", code]}
    ran = await bench.run(params, resources=Resources(gpu=1, gpus=NVIDIA[:1]))
    assert ran.stdout == "/opt/own:/usr/lib/driver\n{'/usr/lib/driver/libz.so.9'}\n"
