"""Paths are opened without following links, by one system call or name by name; both must say the same."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.trees import walk


@pytest.fixture(params=["openat2", "name by name"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``a/b/file`` below a path without links, with each way to open."""
    if request.param == "name by name":

        def missing(*_: object) -> int:
            ctypes.set_errno(errno.ENOSYS)
            return -1

        monkeypatch.setattr(beneath, "_openat2", missing)
    root = tmp_path.resolve()
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("text")
    return root


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_what_lies_at_a_path_is_opened(place: Path) -> None:
    for path in (place, place / "a/b", place / "a/b/file"):
        with closing(beneath.open_path(path)) as opened:
            facts = path.stat()
            assert beneath.file_id(opened) == (facts.st_dev, facts.st_ino)
            assert beneath.is_directory(opened) is path.is_dir()
    with closing(beneath.open_path(place / "a/b/file", os.O_RDONLY)) as opened:
        assert os.read(opened, 10) == b"text"


@pytest.mark.parametrize("link", ["a/link", "a/b/link"])
def test_a_link_is_followed_neither_on_the_way_nor_at_the_end(place: Path, link: str) -> None:
    (place / "a/link").symlink_to(place / "a/b")
    (place / "a/b/link").symlink_to("file")
    with pytest.raises(beneath.Changed):
        beneath.open_path(place / link)
    with pytest.raises(beneath.Changed):
        beneath.open_path(place / "a/link/file")
    with pytest.raises(beneath.Changed):
        beneath.open_path("/proc/self/root/etc")


def test_a_path_leads_up_by_no_means(place: Path) -> None:
    with closing(beneath.open_path(place / "a/b")) as opened, pytest.raises(beneath.Changed):
        beneath.open_beneath(opened, "../b")


def test_a_missing_path_is_reported_as_before(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        beneath.open_path(place / "a/none/file")
    with pytest.raises(NotADirectoryError):
        beneath.open_path(place / "a/b/file/x")


def test_another_object_at_the_same_path_is_noticed(place: Path) -> None:
    path = place / "a/b/file"
    with closing(beneath.open_path(path)) as opened:
        file_id = beneath.file_id(opened)
        with closing(beneath.open_checked(path, file_id)) as again:
            assert beneath.file_id(again) == file_id
        path.rename(path.with_name("old"))
        with pytest.raises(beneath.Changed, match=f"something else lies at {path} now"):
            beneath.open_checked(path, file_id)
        path.write_text("new")
        with pytest.raises(beneath.Changed):
            beneath.open_checked(path, file_id)
        path.unlink()
        path.symlink_to(path.with_name("old"))
        with pytest.raises(beneath.Changed):
            beneath.open_checked(path, file_id)


def test_a_path_of_any_length_is_opened(place: Path) -> None:
    here = os.open(place, beneath.DIRECTORY)
    names = ["n" * 200 for _ in range(40)]
    for name in names:
        os.mkdir(name, dir_fd=here)
        below = os.open(name, beneath.DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    file_id = beneath.file_id(here)
    os.close(here)
    with closing(beneath.open_path(place / "/".join(names))) as opened:
        assert beneath.file_id(opened) == file_id
    with closing(beneath.open_path(place)) as top:
        assert sum(1 for _ in walk(top)) == 44


def test_directories_and_files_are_made_but_not_behind_links(place: Path) -> None:
    with closing(beneath.make(place / "x/y", "dir")) as made:
        assert beneath.file_id(made) == ((place / "x/y").stat().st_dev, (place / "x/y").stat().st_ino)
    assert (place / "x/y").stat().st_mode & 0o777 == 0o700
    with closing(beneath.make(place / "x/z/file", "file")):
        assert (place / "x/z/file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        beneath.make(place / "x/z/file", "file")
    (place / "link").symlink_to(place / "a")
    for kind in ("dir", "file"):
        with pytest.raises(beneath.Changed):
            beneath.make(place / "link/new/deep", kind)
    assert sorted(path.name for path in (place / "a").iterdir()) == ["b"]


def test_a_directory_that_becomes_a_link_during_a_walk_is_not_entered(place: Path) -> None:
    (place / "secret").mkdir()
    (place / "secret/key").touch()
    seen = []
    with closing(beneath.open_path(place / "a")) as top, pytest.raises(OSError, match=r"directory|links"):
        for entry in walk(top):
            seen.append(entry.path)
            if entry.path == "b":
                (place / "a/b").rename(place / "a/old")
                (place / "a/b").symlink_to(place / "secret")
    assert seen == ["", "b"]
    # Control: by its path, it is entered.
    assert os.listdir(place / "a/b") == ["key"]  # noqa: PTH208
