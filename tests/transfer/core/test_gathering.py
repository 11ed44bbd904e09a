"""What of a job's results is published, and what is left out."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bacalhau_jupyter.transfer.core.gathering import MAX_NAME, Gathering
from bacalhau_jupyter.transfer.core.job_view import JobView
from bacalhau_jupyter.transfer.core.readers import EntryKind


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "execution/results/outputs").mkdir(parents=True)
    return tmp_path / "execution/results"


def gathering(root: Path, inputs: Mapping[str, Path] | None = None, **options: object) -> Gathering:
    view = JobView(root, {"/outputs": "outputs"}, inputs, ("/job",))
    return Gathering(root, view, component="Test", **options)  # type: ignore[arg-type]


def published(tree: Gathering) -> dict[str, str]:
    """Return each entry's contents, link target (with an arrow) or ``/``."""
    entries = {}
    for item in tree:
        if item.kind is EntryKind.LINK:
            entries[item.name] = f"-> {item.target}"
        elif item.kind is EntryKind.DIRECTORY:
            entries[item.name] = "/"
        elif (descriptor := tree.open(item)) is not None:
            with os.fdopen(descriptor, "rb") as file:
                entries[item.name] = file.read().decode()
    return entries


def lines(tree: Gathering) -> list[str]:
    return [str(left) for left in tree.left_out]


def test_links_lead_where_they_led_in_the_job(root: Path) -> None:
    (root / "outputs/data").write_text("data")
    (root / "outputs/near").symlink_to("data")
    (root / "outputs/by-name").symlink_to("/outputs/data")
    (root / "outputs/by-other-name").symlink_to("/job/outputs/data")
    (root / "outputs/by-way-of-the-root").symlink_to("../outputs/data")
    (root / "outputs/chain").symlink_to("/outputs/near")
    tree = gathering(root)
    assert published(tree) == {
        "": "/",
        "outputs": "/",
        "outputs/data": "data",
        "outputs/near": "-> data",
        "outputs/by-name": "-> data",
        "outputs/by-other-name": "-> data",
        "outputs/by-way-of-the-root": "-> ../outputs/data",
        "outputs/chain": "-> near",
    }
    assert lines(tree) == []


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../etc/passwd", "/outputs/../etc/passwd", "/proc/self/root"]
)
def test_links_elsewhere_are_left_out(root: Path, target: str) -> None:
    (root / "outputs/leak").symlink_to(target)
    tree = gathering(root)
    assert published(tree) == {"": "/", "outputs": "/"}
    assert lines(tree) == [f"outputs/leak → {target} (a link out of the results)"]


def test_links_to_nowhere_and_in_a_circle_are_left_out(root: Path) -> None:
    (root / "outputs/gone").symlink_to("nothing")
    (root / "outputs/self").symlink_to("self")
    tree = gathering(root)
    assert published(tree) == {"": "/", "outputs": "/"}
    assert lines(tree) == [
        "outputs/gone → nothing (a link that leads nowhere)",
        "outputs/self → self (a link that leads nowhere)",
    ]


def test_pipes_sockets_and_devices_are_left_out(root: Path) -> None:
    os.mkfifo(root / "outputs/a pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "outputs/a socket"))
        tree = gathering(root)
        assert published(tree) == {"": "/", "outputs": "/"}
    assert lines(tree) == ["outputs/a pipe (a pipe)", "outputs/a socket (a socket)"]


def test_an_input_is_published_once_however_many_links_mean_it(root: Path, tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/a").write_text("A")
    (tmp_path / "in/sub/b").write_text("B")
    (tmp_path / "in/sub/loop").symlink_to("..")
    (root / "outputs/first").symlink_to("/inputs/a")
    (root / "outputs/second").symlink_to("../inputs/a")
    (root / "outputs/tree").symlink_to("/inputs")
    (root / "outputs/tree again").symlink_to("/inputs/")
    (root / "outputs/inside").symlink_to("/inputs/sub/loop/sub/b")
    tree = gathering(root, {"/inputs": tmp_path / "in"})
    assert published(tree) == {
        "": "/",
        "outputs": "/",
        "outputs/first": "A",
        "outputs/second": "-> first",
        "outputs/inside": "B",
        "outputs/tree": "/",
        "outputs/tree/a": "-> ../first",
        "outputs/tree/sub": "/",
        "outputs/tree/sub/b": "-> ../../inside",
        "outputs/tree/sub/loop": "-> ..",
        "outputs/tree again": "-> tree",
    }
    assert lines(tree) == []


def test_links_inside_an_input_lead_nowhere_else(root: Path, tmp_path: Path) -> None:
    """On this host, the link in the input leads to a secret; in the job its target did not exist."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in/ssh").symlink_to(tmp_path / "secret")
    (tmp_path / "in/up").symlink_to("../secret")
    for name in ("ssh", "up"):
        (root / f"outputs/{name}").symlink_to(f"/inputs/{name}")
    (root / "outputs/all").symlink_to("/inputs")
    tree = gathering(root, {"/inputs": tmp_path / "in"})
    assert "secret" not in published(tree).values()
    assert [left.name for left in tree.left_out] == [
        "outputs/ssh",
        "outputs/up",
        "outputs/all/ssh",
        "outputs/all/up",
    ]


def test_an_input_that_became_a_link_meanwhile_is_not_followed(root: Path, tmp_path: Path) -> None:
    """Another job may write where the input lies, and put a link to elsewhere in its place."""
    (tmp_path / "shared/in").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (tmp_path / "private/a").write_text("secret")
    (root / "outputs/x").symlink_to("/inputs/a")
    view = gathering(root, {"/inputs": tmp_path / "shared/in"})
    (tmp_path / "shared/in").rename(tmp_path / "shared/old")
    (tmp_path / "shared/in").symlink_to(tmp_path / "private")
    assert (tmp_path / "shared/in/a").read_text() == "secret"
    assert "secret" not in published(view).values()
    assert [left.name for left in view.left_out] == ["outputs/x"]


def test_where_there_are_no_links_files_stand_in_their_place(root: Path, tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/sub/loop").symlink_to("..")
    (tmp_path / "in/a").write_text("A")
    (root / "outputs/d").mkdir()
    (root / "outputs/f").write_text("F")
    (root / "outputs/link").symlink_to("f")
    (root / "outputs/link to d").symlink_to("d")
    (root / "outputs/in").symlink_to("/inputs")
    tree = gathering(root, {"/inputs": tmp_path / "in"}, links=False)
    files = {name: text for name, text in published(tree).items() if text != "/"}
    assert files == {"outputs/f": "F", "outputs/link": "F", "outputs/in/a": "A"}
    assert lines(tree) == [
        "outputs/link to d → d (a link to a directory, which can't be published here)",
        "outputs/in/sub/loop (it is published already, as outputs/in)",
    ]


def test_a_name_that_no_reader_takes_is_left_out(root: Path) -> None:
    place = os.open(root / "outputs", os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=place)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    tree = gathering(root)
    assert max(map(len, published(tree))) <= MAX_NAME
    assert tree.left_out[0].reason == "its name is longer than 4096 bytes"


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make another user's files and become somebody else"
)
def test_entries_of_others_are_left_out_and_the_rest_is_listed() -> None:
    # Another user can't look below pytest's own directory.
    with tempfile.TemporaryDirectory(prefix="bacalhau-gathering-") as place:
        Path(place).chmod(0o755)
        root = Path(place) / "result"
        (root / "outputs").mkdir(parents=True)
        _publish_as_somebody_else(root)


def _publish_as_somebody_else(root: Path) -> None:
    (root / "outputs/theirs").write_text("theirs")
    (root / "outputs/theirs").chmod(0o600)
    (root / "outputs/ours").write_text("ours")
    os.chown(root / "outputs/ours", 1600, 1600)
    (root / "outputs/ours").chmod(0)
    os.seteuid(1600)
    try:
        tree = gathering(root)
        texts = published(tree)
    finally:
        os.seteuid(0)
    assert texts["outputs/ours"] == "ours"
    assert "outputs/theirs" not in texts
    assert lines(tree) == ["outputs/theirs (it can't be read: permission denied)"]
