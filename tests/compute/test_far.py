"""What a machine elsewhere has: the real script in a real shell, and what is made of its answer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.compute.host import far_script
from bacalhau_jupyter.compute.host.far import (
    BUSY_S,
    EVERY_S,
    EngineAnswer,
    facts_of,
    gpus_by_engine,
    machine_facts,
    pause_after,
)
from bacalhau_jupyter.compute.host.far_users import users_of
from bacalhau_jupyter.compute.host.gpus import HostGpus, gpus_told
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from tests.services import gpu_tools

MARK = "@0123"
SECOND = 1_000_000_000
GPUS = [GPU(index=index, name="A100", vendor="NVIDIA", memory=81920) for index in range(4)]


def shell(script: str, tools: Path, program: str = "sh") -> str:
    done = subprocess.run(
        [program, "-s"],
        input=script,
        env={"PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def container(name: str, node: str = "", **limits: Any) -> dict[str, Any]:
    labels = {"bacalhau-executor": node} if node else {}
    return {"Name": f"/{name}", "Config": {"Image": "busybox", "Labels": labels}, "HostConfig": limits}


def test_device_files_that_others_were_given_are_their_gpus() -> None:
    gpus = [
        GPU(index=0, name="MI210", vendor="AMD/ATI", pci_address="0000:03:00.0"),
        GPU(index=1, name="MI210", vendor="AMD/ATI", pci_address="0000:43:00.0"),
        GPU(index=0, name="Flex 170", vendor="Intel", pci_address="0000:29:00.0"),
    ]
    files = {
        "kfd": ["kfd"],
        "0000:03:00.0": ["dri/card0", "dri/renderD128"],
        "0000:43:00.0": ["dri/card1", "dri/renderD129"],
        "0000:29:00.0": ["dri/card2", "dri/renderD130"],
    }

    def devices(*paths: str) -> list[dict[str, str]]:
        return [{"PathOnHost": path} for path in paths]

    containers = [
        container("amd", "n-other", Devices=devices("/dev/kfd", "/dev/dri/card1", "/dev/dri/renderD129")),
        container("ours", "n-gpu1", Devices=devices("/dev/dri/card2", "/dev/dri/renderD130")),
        container("fuse", Devices=devices("/dev/fuse", "/dev/kfd")),
    ]
    others, own = users_of(containers, "n-gpu1", gpus, files)
    assert [(user.name, [gpu.key for gpu in user.resources.gpus]) for user in others] == [
        ("amd", [("AMD/ATI", 1)]),
        ("fuse", []),
    ]
    assert own == {("Intel", 0)}


@pytest.mark.parametrize("program", ["sh", "bash"])
def test_one_script_tells_what_a_machine_has(program: str, tmp_path: Path) -> None:
    text = shell(far_script.script(MARK, "/"), tmp_path, program)
    answer = far_script.read(text, MARK)
    assert answer.is_whole
    assert answer.platform[0] == "Linux"
    memory, free = answer.memory
    assert memory > free > 1 << 20
    assert 0 < answer.disk <= shutil.disk_usage("/").total
    assert answer.load >= 0


async def test_the_vendors_tools_there_say_the_same_as_here(tmp_path: Path) -> None:
    gpu_tools.install(tmp_path)
    answer = far_script.read(shell(far_script.script(MARK, "/"), tmp_path), MARK)
    host = await gpus_told(answer.ask)
    assert [(gpu.vendor, gpu.index, gpu.memory) for gpu in host.gpus] == [
        ("NVIDIA", 0, 40960),
        ("NVIDIA", 1, 15360),
        ("AMD/ATI", 0, 65520),
        ("AMD/ATI", 1, 8190),
        ("Intel", 0, 5068),
    ]
    assert host.problems == {}


@pytest.mark.parametrize(
    ("tool", "problem"),
    [("exit 9", "it failed with exit code 9"), ("exit 124", "it did not answer within 10s")],
)
async def test_a_tool_that_fails_there_is_told(tool: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{tool}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    answer = far_script.read(shell(far_script.script(MARK, "/"), tmp_path), MARK)
    assert await gpus_told(answer.ask) == HostGpus([], {"nvidia-smi": problem})


def test_what_a_chatty_shell_prints_around_it_changes_nothing(tmp_path: Path) -> None:
    text = shell(far_script.script(MARK, "/"), tmp_path)
    chatty = f"welcome\n@@begin\n{MARK} disk\nFilesystem lies\n{text}\n{MARK} disk\nbye"
    assert far_script.read(chatty, MARK).disk == far_script.read(text, MARK).disk
    assert not far_script.read(text[: len(text) // 2], MARK).is_whole
    assert not far_script.read("welcome", MARK).is_whole


def test_a_strange_directory_is_quoted(tmp_path: Path) -> None:
    answer = far_script.read(shell(far_script.script(MARK, "/no'; touch x; '$(id)"), tmp_path), MARK)
    assert answer.is_whole
    assert answer.disk > 0


@given(st.text(), st.text())
def test_no_answer_is_a_fault(head: str, tail: str) -> None:
    text = "\n".join([head, f"{MARK} begin", f"{MARK} disk", tail, f"{MARK} memory", tail, f"{MARK} end"])
    for each in (text, tail):
        answer = far_script.read(each, MARK)
        assert answer.disk >= 0
        assert answer.memory[0] >= 0
        assert answer.load >= -1
        assert isinstance(answer.busy_gpus, set)
        assert isinstance(answer.device_files, dict)


def test_device_files_of_gpus_come_along() -> None:
    lines = [
        "/dev/dri/by-path/pci-0000:e7:00.0-card /dev/dri/card1",
        "/dev/dri/by-path/pci-0000:e7:00.0-render /dev/dri/renderD129",
        "/dev/dri/by-path/pci-0000:e8:00.0-card /dev/../etc/shadow",
        "kfd /dev/kfd",
    ]
    answer = far_script.Answer({"devices": "\n".join(lines)}, {})
    assert answer.device_files == {"0000:e7:00.0": ["dri/card1", "dri/renderD129"], "kfd": ["kfd"]}


def test_what_others_hold_is_counted_and_what_is_our_own_is_not() -> None:
    containers = [
        container("training", NanoCpus=2_000_000_000, Memory=1 << 30, DeviceRequests=[{"DeviceIDs": ["0"]}]),
        container("unlimited"),
        container("another node's", "n-other", DeviceRequests=[{"Count": 2, "DeviceIDs": None}]),
        container("ours", "n-gpu1", NanoCpus=4_000_000_000, DeviceRequests=[{"DeviceIDs": ["3"]}]),
    ]
    answer = far_script.Answer({"used": "2, 20000\n3, 30000\n1, 3"}, {})
    engine = EngineAnswer({"NCPU": 8, "MemTotal": 1 << 34}, containers)
    facts = facts_of(engine, answer, HostGpus(GPUS), "n-gpu1", SECOND)
    assert [user.name for user in facts.others] == ["training", "unlimited", "another node's"]
    assert (facts.taken.cpu, facts.taken.memory) == (2.0, 1 << 30)
    # 3 is used by our own container; of 2 a program without one uses the memory.
    assert [gpu.index for gpu in facts.taken.gpus] == [0, 1, 2]
    assert machine_facts(facts).taken == facts.taken


@pytest.mark.parametrize(
    ("used", "pause_s"), [("2, 20000", BUSY_S), ("0, 20000\n3, 30000", EVERY_S), ("2, 3", EVERY_S)]
)
def test_a_machine_is_asked_sooner_while_a_program_without_a_container_uses_a_gpu(
    used: str, pause_s: float
) -> None:
    """Docker tells when a container ends; of any other program nobody does."""
    containers = [
        container("training", DeviceRequests=[{"DeviceIDs": ["0"]}]),
        container("ours", "n-gpu1", DeviceRequests=[{"DeviceIDs": ["3"]}]),
    ]
    answer = far_script.Answer({"used": used}, {})
    facts = facts_of(EngineAnswer({}, containers), answer, HostGpus(GPUS), "n-gpu1", SECOND)
    assert pause_after(facts) == pause_s


@pytest.mark.parametrize(
    "containers",
    [
        [{}],
        [{"HostConfig": None, "Config": 7}],
        [{"HostConfig": {"DeviceRequests": [None, {"DeviceIDs": [{}]}]}}],
    ],
)
def test_odd_descriptions_of_containers_count_for_nothing(containers: list[dict[str, Any]]) -> None:
    facts = facts_of(EngineAnswer({}, containers), None, HostGpus(GPUS), "n", 0)
    assert facts.taken == Resources()


@pytest.mark.parametrize(
    ("time", "skew"),
    [
        ("1970-01-01T01:00:11.000000000Z", 3_600_000.0),
        ("1970-01-01T01:00:11.5+01:00", 500.0),
        ("1970-01-01T00:00:11Z", 0.0),
        ("yesterday", 0.0),
        ("", 0.0),
    ],
)
def test_the_clock_there_is_compared_with_the_middle_of_the_call(time: str, skew: float) -> None:
    engine = EngineAnswer({"SystemTime": time}, asked_ns=10 * SECOND, answered_ns=12 * SECOND)
    facts = facts_of(engine, None, HostGpus(), "n", 0)
    assert facts.skew_ms == skew
    assert facts.round_trip_ms == 2000.0


def test_an_engine_alone_tells_the_gpus_that_it_knows_of() -> None:
    devices = [{"Source": "cdi", "Name": f"nvidia.com/gpu={name}"} for name in ("1", "0", "all", "GPU-b8")]
    assert [gpu.index for gpu in gpus_by_engine({"DiscoveredDevices": devices}).gpus] == [0, 1]
    assert "can't say how many" in gpus_by_engine({"Runtimes": {"nvidia": {}}}).problems["docker"]
    assert gpus_by_engine({"Runtimes": {"runc": {}}}) == HostGpus()
