"""GPUs of a host by its vendors' tools; the fake ones print what real ones do, and what broken ones do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bacalhau_jupyter.compute.host import gpus
from bacalhau_jupyter.compute.host.gpus import HostGpus, find_gpus, gpu_labels
from bacalhau_jupyter.models.jobs.resources import GPU
from tests.services.gpu_tools import install, tool

CALLS = [
    "nvidia-smi --query-gpu=index,gpu_name,memory.total --format=csv,noheader,nounits",
    "rocm-smi --showproductname --showbus --showmeminfo vram --json",
    "xpu-smi discovery --json",
    "xpu-smi discovery --json --device 0",
]
"""What an official node (v1.9.3) runs."""

OFFICIAL_LABELS = {
    "GPU-0": "NVIDIA-A100-SXM4-40GB",
    "GPU-0-Memory": "40960-MiB",
    "GPU-1": "Tesla--T4",
    "GPU-1-Memory": "15360-MiB",
    "GPU-2": "Instinct-MI210",
    "GPU-2-Memory": "65520-MiB",
    "GPU-3": "Instinct-MI100",
    "GPU-3-Memory": "8190-MiB",
    "GPU-4": "Intel-Corporation-Device-56c1-(rev-05)",
    "GPU-4-Memory": "5068-MiB",
}
"""What an official node (v1.9.3) said with these very tools on its PATH."""


async def test_a_host_without_tools_has_no_gpus(tmp_path: Path) -> None:
    assert await find_gpus(str(tmp_path)) == HostGpus()


async def test_all_vendors_are_asked_as_an_official_node_asks_and_told_as_it_tells(tmp_path: Path) -> None:
    install(tmp_path, calls=tmp_path / "calls")
    host = await find_gpus(f"{tmp_path}:/usr/bin:/bin")
    assert host == HostGpus(
        [
            GPU(index=0, name="NVIDIA A100-SXM4-40GB", vendor="NVIDIA", memory=40960),
            GPU(index=1, name="Tesla  T4", vendor="NVIDIA", memory=15360),
            GPU(index=0, name="Instinct MI210", vendor="AMD/ATI", memory=65520, pci_address="0000:e7:00.0"),
            GPU(index=1, name="Instinct MI100", vendor="AMD/ATI", memory=8190, pci_address="0000:e8:00.0"),
            GPU(
                index=0,
                name="Intel Corporation Device 56c1 (rev 05)",
                vendor="Intel",
                memory=5068,
                pci_address="0000:e9:00.0",
            ),
        ]
    )
    assert gpu_labels(host.gpus) == OFFICIAL_LABELS
    assert sorted((tmp_path / "calls").read_text().splitlines()) == CALLS


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'NVIDIA-SMI has failed because of its driver'; exit 9", "exit code 9: NVIDIA-SMI has failed"),
        ("echo broken >&2; exit 1", "exit code 1: broken"),
        ("echo '<html>'", "no list of GPUs: <html>"),
        ("kill -9 $$", "exit code -9: nothing"),
        ("yes", "prints without end"),
        ("printf '\\377\\376\\n'", "no list of GPUs"),
    ],
)
async def test_a_tool_that_fails_means_none_and_the_reason_is_kept(
    script: str, problem: str, tmp_path: Path
) -> None:
    tool(tmp_path, "nvidia-smi", script)
    tool(tmp_path, "rocm-smi", 'echo \'{"card0": {"Card series": "MI210"}}\'')
    host = await find_gpus(f"{tmp_path}:/usr/bin:/bin")
    assert [gpu.name for gpu in host.gpus] == ["MI210"]
    assert list(host.problems) == ["nvidia-smi"]
    assert problem in host.problems["nvidia-smi"]
    assert len(host.problems["nvidia-smi"]) < 300
    assert "\n" not in host.problems["nvidia-smi"]


@pytest.mark.parametrize(
    "script", ["true", "echo", "echo 'No devices were found'", "echo 'No devices were found'; exit 6"]
)
async def test_a_tool_that_knows_of_no_device_is_no_problem(script: str, tmp_path: Path) -> None:
    tool(tmp_path, "nvidia-smi", script)
    assert await find_gpus(f"{tmp_path}:/usr/bin:/bin") == HostGpus()


@pytest.mark.parametrize("printed", ["{not json", "[]", "7", '{"card0": 5}', "{}", "{" * 100_000])
@pytest.mark.parametrize("name", ["rocm-smi", "xpu-smi"])
async def test_json_that_is_none_or_says_nothing_means_none(printed: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "printed").write_text(printed)
    tool(tmp_path, name, f"cat {tmp_path / 'printed'}")
    host = await find_gpus(f"{tmp_path}:/usr/bin:/bin")
    assert host.gpus == []
    assert set(host.problems) <= {name}


async def test_what_a_tool_does_not_know_of_a_gpu_is_left_out(tmp_path: Path) -> None:
    tool(tmp_path, "nvidia-smi", "echo '0, NVIDIA GB10, [N/A]'; echo 'x, y, z'; echo '0, again, 7'")
    odd = {"card10": {"Card Series": "B"}, "card2": {"VRAM Total Memory (B)": "N/A", "Card model": "A"}}
    tool(tmp_path, "rocm-smi", f"echo 'WARNING: low-power state {{0}}'; echo '{json.dumps(odd)}'")
    listing = {"device_list": [{"device_id": 3, "device_name": "Flex"}, {"device_id": "?"}, None]}
    tool(
        tmp_path,
        "xpu-smi",
        f"case \"$*\" in *--device*) exit 1;; *) echo '{json.dumps(listing)}';; esac",
    )
    host = await find_gpus(f"{tmp_path}:/usr/bin:/bin")
    assert [(gpu.vendor, gpu.index, gpu.name, gpu.memory) for gpu in host.gpus] == [
        ("NVIDIA", 0, "NVIDIA GB10", 0),
        ("AMD/ATI", 2, "A", 0),
        ("AMD/ATI", 10, "B", 0),
        ("Intel", 3, "Flex", 0),
    ]
    assert host.problems == {}
    assert gpu_labels(host.gpus[:1]) == {"GPU-0": "NVIDIA-GB10"}


async def test_a_tool_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "TOOL_S", 0.05)
    tool(tmp_path, "nvidia-smi", "sleep 60 & sleep 60")
    host = await find_gpus(f"{tmp_path}:/bin:/usr/bin")
    assert host == HostGpus(problems={"nvidia-smi": "it did not answer within 0.05s"})


async def test_a_tool_that_can_not_be_run_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "xpu-smi").write_text("#!/nowhere/sh\n")
    (tmp_path / "xpu-smi").chmod(0o755)
    host = await find_gpus(str(tmp_path))
    assert host.problems == {"xpu-smi": "it can't be run: No such file or directory"}
