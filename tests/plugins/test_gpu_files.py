"""The device files of a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.plugins.gpu_files import render_nodes

ADDRESS = "0000:63:00.0"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "dev/dri/by-path").mkdir(parents=True)
    for name in ("card0", "card1", "renderD128", "renderD129"):
        (tmp_path / "dev/dri" / name).touch()
    drm = tmp_path / f"sys/bus/pci/devices/{ADDRESS}/drm"
    for name in ("card1", "renderD129", "controlD65", "card1-HDMI-A-1"):
        (drm / name).mkdir(parents=True)
    return tmp_path


def nodes(host: Path, address: str = ADDRESS) -> list[str]:
    return render_nodes(GPU(pci_address=address), host / "dev", host / "sys")


def test_udevs_links_name_the_files(host: Path) -> None:
    for kind, name in (("card", "card0"), ("render", "renderD128")):
        (host / "dev/dri/by-path" / f"pci-{ADDRESS}-{kind}").symlink_to(f"../{name}")
    assert nodes(host) == ["dri/card0", "dri/renderD128"]


@pytest.mark.parametrize("links", ["none", "dangling"])
def test_without_udevs_links_the_kernel_names_the_files(host: Path, links: str) -> None:
    if links == "dangling":
        (host / "dev/dri/by-path" / f"pci-{ADDRESS}-card").symlink_to("../gone")
    assert nodes(host) == ["dri/card1", "dri/renderD129"]


def test_files_that_are_not_in_dev_are_left_out(host: Path) -> None:
    (host / "dev/dri/card1").unlink()
    assert nodes(host) == ["dri/renderD129"]


@pytest.mark.parametrize("address", ["", "0000:99:00.0", "../../x", "0000:63:00.0/../0000:63:00.0", "N/A"])
def test_an_address_that_is_none_or_unknown_has_no_files(host: Path, address: str) -> None:
    assert nodes(host, address) == []
