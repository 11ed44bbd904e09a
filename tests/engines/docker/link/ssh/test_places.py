"""Where sockets lie: short paths, for this user only, and what an earlier process left is removed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.link.ssh.places import LONGEST_BYTES, Places, places_for
from bacalhau_jupyter.models.errors import IOFailure

LONGEST_OF_SSH = 104 - 17


def test_a_short_directory_is_used_as_it_is() -> None:
    places = places_for("gpu1", Path("/run/user/1000"))
    assert places.directory.parent == Path("/run/user/1000")
    assert places == places_for("gpu1", Path("/run/user/1000"))
    assert places != places_for("gpu2", Path("/run/user/1000"))


@pytest.mark.parametrize(
    "directory", ["/home/alice/" + "deep/" * 30, "/tmp/a b", "/tmp/50%", "/tmp/a:b", "/tmp/ä"]
)
def test_another_directory_is_used_where_a_socket_would_not_fit(directory: str) -> None:
    places = places_for("gpu1", Path(directory))
    assert places.directory.parent == Path(f"/tmp/bacalhau-jupyter-{os.geteuid()}")
    assert len(str(places.control)) <= LONGEST_OF_SSH
    assert places != places_for("gpu1", Path(directory, "other"))


def test_the_longest_directory_still_fits() -> None:
    directory = Path("/" + "x" * (LONGEST_BYTES - 14))
    places = places_for("gpu1", directory)
    assert places.directory.parent == directory
    assert len(str(places.control)) <= LONGEST_OF_SSH


def test_what_an_earlier_process_left_is_removed(runtime_dir: Path) -> None:
    places = places_for("gpu1", runtime_dir)
    places.prepare()
    for path in (places.control, places.socket):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    places.prepare()
    assert not list(places.directory.iterdir())
    assert places.directory.stat().st_mode & 0o777 == 0o700
    places.remove()
    assert not places.directory.exists()
    assert runtime_dir.exists()


def test_a_new_data_directory_gets_a_place_for_sockets(tmp_path: Path) -> None:
    places = Places(tmp_path / "hosts" / "run" / "1")
    places.prepare()
    for path in (places.directory, *places.directory.parents[:2]):
        assert path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("which", ["parent", "child"])
def test_a_directory_that_others_may_write_to_is_not_used(runtime_dir: Path, which: str) -> None:
    places = places_for("gpu1", runtime_dir)
    places.prepare()
    (places.directory if which == "child" else places.directory.parent).chmod(0o777)
    with pytest.raises(IOFailure, match="others may write to"):
        places.prepare()
    places.remove()


def test_a_link_in_the_place_of_the_directory_is_not_followed(runtime_dir: Path) -> None:
    places = places_for("gpu1", runtime_dir)
    places.prepare()
    places.directory.rmdir()
    places.directory.symlink_to(runtime_dir.parent)
    with pytest.raises(IOFailure):
        places.prepare()
    places.directory.unlink()
