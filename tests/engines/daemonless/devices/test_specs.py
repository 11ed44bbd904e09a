"""Finding a device in the CDI specifications of a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.daemonless.devices.edits import Edits, Unusable
from bacalhau_jupyter.engines.daemonless.devices.specs import find
from tests.engines.daemonless.devices.specification import UUIDS, Fake

FIRST = "nvidia.com/gpu=0"


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path / "machine", real=False)


def found(fake: Fake, *names: str) -> Edits:
    return find(names, fake.machine.specifications)


def test_a_device_has_its_own_files_and_those_of_all(fake: Fake) -> None:
    places = [place for _, place in found(fake, "nvidia.com/gpu=1").nodes]
    assert places == ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia1"]


def test_a_device_that_is_named_otherwise_is_found_by_its_other_name(fake: Fake) -> None:
    fake.devices = {UUIDS[0]: fake.devices["0"]}
    fake.write()
    assert found(fake, FIRST, f"nvidia.com/gpu={UUIDS[0]}").nodes[-1][1] == "/dev/nvidia0"
    with pytest.raises(Unusable, match=r"no CDI specification has nvidia.com.gpu=0$"):
        found(fake, FIRST)


def test_a_later_directory_goes_first_and_a_file_that_changes_is_read_again(fake: Fake) -> None:
    fake.common = {}
    fake.devices = {"0": {"deviceNodes": [{"path": "/dev/later"}]}}
    path = fake.write(directory=1)
    assert found(fake, FIRST).nodes == (("/dev/later", "/dev/later"),)
    path.unlink()
    assert len(found(fake, FIRST).nodes) == 3


def test_two_files_with_one_device_are_told(fake: Fake) -> None:
    fake.write("other.json")
    with pytest.raises(Unusable, match=r"nvidia.yaml and .*other.json both define nvidia.com/gpu=0"):
        found(fake, FIRST)


def test_a_hook_that_can_not_be_run_is_told_with_its_file(fake: Fake) -> None:
    fake.devices["0"]["hooks"] = [{"path": "/opt/other-hook", "args": ["other-hook"]}]
    fake.write()
    with pytest.raises(Unusable, match=r"nvidia.yaml defines .*, but it has a hook .*'other-hook'"):
        found(fake, FIRST)
    assert found(fake, "nvidia.com/gpu=1").nodes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe", "not YAML or JSON"),
        (b"{", "not YAML or JSON"),
        (b"[" * 10_000, "not YAML or JSON"),
        (b"- 1", "not a CDI specification"),
        (b"cdiVersion: 2.0.0\nkind: nvidia.com/gpu\ndevices: []", "version '2.0.0'"),
        (b"cdiVersion: 0.5.0\nkind: 7\ndevices: []", "no kind"),
        (b"cdiVersion: 0.5.0\nkind: a/b\ndevices: [7]", "without a name"),
        (b"x: " + b"y" * (5 << 20), "larger than"),
    ],
)
def test_a_broken_file_is_named_and_hides_no_other(fake: Fake, content: bytes, reason: str) -> None:
    broken = Path(fake.machine.specifications[1]) / "broken.yaml"
    broken.write_bytes(content)
    assert found(fake, FIRST).nodes
    with pytest.raises(Unusable, match=rf"broken.yaml: .*{reason}"):
        found(fake, "nvidia.com/gpu=7")


def test_what_is_no_file_is_passed_over(fake: Fake, tmp_path: Path) -> None:
    os.mkfifo(Path(fake.machine.specifications[1]) / "pipe.yaml")
    (Path(fake.machine.specifications[1]) / "directory.yaml").mkdir()
    (Path(fake.machine.specifications[1]) / "gone.yaml").symlink_to("/nowhere")
    assert found(fake, FIRST).nodes
    with pytest.raises(Unusable, match="no CDI specification has"):
        find([FIRST], [tmp_path / "none"])
