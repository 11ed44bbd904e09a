from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.compute.host.capacity import (
    Capacity,
    allocated,
    shortfall,
    with_defaults,
)
from bacalhau_jupyter.compute.host.measuring import host_resources
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig

GPUS = [GPU(index=0, name="A"), GPU(index=1, name="B")]
HOST = Resources(cpu=2, memory=10_000_000_000, disk=100_000_000_000, gpu=2, gpus=GPUS)


def test_by_default_most_of_the_host_and_all_gpus_are_used() -> None:
    assert allocated(ResourcesConfig(), HOST) == Resources(
        cpu=1.6, memory=8_000_000_000, disk=80_000_000_000, gpu=2, gpus=GPUS
    )


def test_amounts_and_percentages_mix() -> None:
    share = allocated(ResourcesConfig(cpu="500m", memory="1Gi", disk="10 %", gpu="1"), HOST)
    assert share == Resources(cpu=0.5, memory=1 << 30, disk=10_000_000_000, gpu=1, gpus=GPUS[:1])


def test_a_percentage_never_takes_the_only_gpu_away() -> None:
    one = Resources(cpu=1, memory=1, disk=1, gpu=1, gpus=GPUS[:1])
    assert allocated(ResourcesConfig(gpu="50%"), one).gpu == 1
    assert allocated(ResourcesConfig(gpu="0"), one).gpu == 0


@pytest.mark.parametrize(
    ("member", "key"), [("cpu", "CPU"), ("memory", "Memory"), ("disk", "Disk"), ("gpu", "GPU")]
)
def test_a_setting_that_cannot_be_read_names_its_key(member: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Compute\.AllocatedCapacity\.{key} is neither .* 'lots'"):
        allocated(ResourcesConfig(**{member: "lots"}), HOST)


def test_a_job_without_resources_gets_a_small_default() -> None:
    assert with_defaults(Resources(), inputs_bytes=7) == Resources(cpu=0.1, memory=100 << 20, disk=7)


def test_gpus_are_assigned_one_by_one_and_come_back() -> None:
    capacity = Capacity(HOST)
    first = capacity.reserve("e-1", Resources(gpu=1))
    second = capacity.reserve("e-2", Resources(gpu=1))
    assert first is not None
    assert second is not None
    assert [gpu.index for gpu in (*first.gpus, *second.gpus)] == [0, 1]
    assert capacity.reserve("e-3", Resources(gpu=1)) is None
    assert shortfall(Resources(gpu=1), capacity.available) == "GPU (1 > 0)"
    assert capacity.release("e-1")
    assert not capacity.release("e-1")
    third = capacity.reserve("e-3", Resources(gpu=1))
    assert third is not None
    assert [gpu.index for gpu in third.gpus] == [0]


def test_reserving_twice_holds_once() -> None:
    capacity = Capacity(HOST)
    assert capacity.reserve("e-1", Resources(cpu=1)) == capacity.reserve("e-1", Resources(cpu=1))
    assert capacity.available.cpu == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.1]), st.integers(0, 1))))
def test_what_is_held_never_exceeds_the_limit_and_all_comes_back(steps: list[tuple[int, float, int]]) -> None:
    capacity = Capacity(HOST)
    for number, cpu, gpu in steps:
        name = f"e-{number}"
        if not capacity.release(name):
            capacity.reserve(name, Resources(cpu=cpu, gpu=gpu))
        assert capacity.available.cpu >= 0
        indices = [gpu.index for gpu in capacity.available.gpus]
        assert len(indices) == capacity.available.gpu
        assert len(set(indices)) == len(indices)
    for name in list(capacity.holders):
        capacity.release(name)
    assert capacity.available == HOST


async def test_who_asks_first_gets_what_is_being_stopped() -> None:
    capacity = Capacity(Resources(cpu=1))
    one = Resources(cpu=1)
    assert capacity.reserve("hog", one) is not None
    assert await capacity.reserve_soon("early", one) is None, "nobody stops the hog"
    capacity.leaving("hog")
    bids = [asyncio.create_task(capacity.reserve_soon(name, one)) for name in ("first", "second")]
    await asyncio.sleep(0)
    assert capacity.release("hog")
    assert await asyncio.gather(*bids) == [one, None]
    assert set(capacity.holders) == {"first"}
    assert await capacity.reserve_soon("large", Resources(cpu=2)) is None


def test_this_host_has_something(tmp_path: Path) -> None:
    host = host_resources(tmp_path / "not" / "there" / "yet")
    assert 0 < host.cpu <= (os.cpu_count() or 1)
    assert host.memory > 1 << 20
    assert host.disk > 0


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_limits_of_a_control_group_of_version_2_count_up_to_its_root(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/user.slice/session\n")
    write(tmp_path / "proc/meminfo", "MemTotal:       8000000 kB\n")
    write(tmp_path / "sys/fs/cgroup/user.slice/memory.max", "1000000\n")
    write(tmp_path / "sys/fs/cgroup/user.slice/session/memory.max", "max\n")
    write(tmp_path / "sys/fs/cgroup/user.slice/session/cpu.max", "50000 100000\n")
    host = host_resources(tmp_path, root=tmp_path)
    assert (host.cpu, host.memory) == (0.5, 1_000_000)


def test_limits_of_a_control_group_of_version_1_count(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n")
    write(tmp_path / "proc/meminfo", "MemTotal:       8000000 kB\n")
    write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n")
    write(tmp_path / "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "25000\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n")
    host = host_resources(tmp_path, root=tmp_path)
    assert (host.cpu, host.memory) == (0.25, 2_000_000)


def test_without_limits_the_whole_machine_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/meminfo", "MemTotal:       8000000 kB\n")
    assert host_resources(tmp_path, root=tmp_path).memory == 8_000_000 * 1024
