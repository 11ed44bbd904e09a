"""Trees deeper than Python recurses, than descriptors go, and than a path is long."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import copy_tree, make_directories, walk
from tests.services.deep import nest

DEPTH = 5000


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    top = tmp_path / "top"
    top.mkdir()
    nest(top, DEPTH, "directory")
    yield top
    remove_tree(top)  # pytest's own removal recurses


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
def test_the_standard_ways_fail_with_such_a_tree(deep: Path) -> None:
    with pytest.raises((RecursionError, OSError)):
        shutil.rmtree(deep)


@pytest.mark.slow
def test_a_tree_deeper_than_a_path_is_long_is_walked_whole_with_few_descriptors(deep: Path) -> None:
    before, most, count = descriptors(), 0, 0
    for entry in walk(deep):
        count += 1
        last = entry
        if not count % 500:
            most = max(most, descriptors())
    assert count == DEPTH + 2
    assert last.path.count("/") == DEPTH
    assert last.name == "file"
    assert most - before < 50
    assert descriptors() == before


@pytest.mark.slow
def test_a_tree_deeper_than_a_path_is_long_is_removed_with_few_descriptors(deep: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 20, hard))
    try:
        assert remove_tree(deep) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not deep.exists()


def test_a_walk_names_directories_before_their_entries_and_sorts_by_bytes(tmp_path: Path) -> None:
    for name in ["b/x", "b/a/y", "a", "ü", "b.txt"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "link").symlink_to("b")
    paths = [entry.path for entry in walk(tmp_path)]
    assert paths == ["", "a", "b", "b/a", "b/a/y", "b/x", "b.txt", "link", "ü"]


def test_a_walk_goes_down_and_up_again_where_directories_were_closed_meanwhile(tmp_path: Path) -> None:
    nest(tmp_path, 100, "d")
    (tmp_path / "d" / "e").mkdir()
    (tmp_path / "d" / "e" / "last").touch()
    assert [entry.path for entry in walk(tmp_path)][-2:] == ["d/e", "d/e/last"]


def test_a_walk_comes_up_and_goes_down_again_far_below(tmp_path: Path) -> None:
    nest(tmp_path, 60, "d")
    for level in range(1, 50, 7):
        nest(tmp_path.joinpath(*["d"] * level), 60, "e")
    before = descriptors()
    paths = [entry.path for entry in walk(tmp_path)]
    assert len(paths) == len(set(paths)) == 62 + 7 * 61
    assert descriptors() == before


def test_a_walk_whose_way_back_is_lost_raises_an_error_and_ends(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    top = tmp_path / "top"
    top.mkdir()
    nest(top, 60, "d")
    unreadable: list[str] = []
    before = descriptors()
    for entry in walk(top, lambda path, _error: unreadable.append(path)):
        if entry.name == "file":
            top.joinpath(*["d"] * 20).rename(tmp_path / "outside" / "d")
    assert len(unreadable) == 1
    assert descriptors() == before


def test_a_walk_gives_the_directory_that_an_entry_lies_in(tmp_path: Path) -> None:
    nest(tmp_path, 3)
    for entry in walk(tmp_path):
        assert os.stat(entry.name, dir_fd=entry.directory).st_ino == entry.info.st_ino


def test_a_walk_reports_what_it_could_not_read_and_continues(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()
    unreadable: list[str] = []
    paths = []
    for entry in walk(tmp_path, lambda path, _error: unreadable.append(path)):
        paths.append(entry.path)
        if entry.path == "a":
            (tmp_path / "a").rmdir()
            (tmp_path / "a").symlink_to("/etc")
    assert paths == ["", "a", "b"]
    assert unreadable == ["a"]


def test_a_walk_raises_with_the_whole_path_if_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError) as caught:
        for entry in walk(tmp_path):
            if entry.path == "a":
                (tmp_path / "a").rmdir()
    assert caught.value.filename == str(tmp_path / "a")


def test_a_walk_of_nothing_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        list(walk(tmp_path / "gone"))
    assert caught.value.filename == str(tmp_path / "gone")


def test_a_walk_of_a_file_yields_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert [stat.S_ISREG(entry.info.st_mode) for entry in walk(tmp_path / "a")] == [True]


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").touch()
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "a" / "link").symlink_to(outside)
    (top / "link").symlink_to(outside)
    assert remove_tree(top) is None
    assert not top.exists()
    assert (outside / "keep").exists()


def test_a_link_as_the_top_is_removed_and_what_it_means_stays(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to("outside")
    assert remove_tree(tmp_path / "link") is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["outside"]


def test_what_is_not_there_counts_as_removed(tmp_path: Path) -> None:
    assert remove_tree(tmp_path / "nothing") is None
    assert remove_tree(tmp_path / "nothing" / "either") is None


@pytest.mark.parametrize("path", ["/", ".", "..", ""])
def test_some_directories_are_never_removed(path: str) -> None:
    assert remove_tree(path) is not None


_AS_NOBODY = """
import os, pathlib, sys
top = pathlib.Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from bacalhau_jupyter.lib.removal import remove_tree
os.setgid(65534); os.setuid(65534)
inner = top / "a" / "b" / "c"
inner.mkdir(parents=True)
(inner / "file").touch()
for each in (inner, inner.parent, inner.parent.parent):
    each.chmod(0)
error = remove_tree(top / "a")
assert error is None, error
assert not (top / "a").exists()
"""


@pytest.mark.root
def test_modes_that_a_job_left_do_not_keep_an_ordinary_user_from_removing(open_place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    top = open_place / "top"
    top.mkdir()
    top.chmod(0o777)
    code = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", _AS_NOBODY, top, code], check=True, cwd="/")


@pytest.mark.root
def test_a_mount_inside_is_not_removed_and_is_reported(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    outside, top = tmp_path / "outside", tmp_path / "top"
    place = top / "a" / "b" / "mounted"
    place.mkdir(parents=True)
    (top / "file").touch()
    outside.mkdir()
    (outside / "keep").touch()
    if subprocess.run(["mount", "--bind", outside, place], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        error = remove_tree(top)
        assert error is not None
        assert not (top / "file").exists()
        assert (outside / "keep").exists()
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(str(top)):
                subprocess.run(["umount", line.split()[1]], check=True)


def test_missing_directories_are_made_however_many_they_are(tmp_path: Path) -> None:
    path = "/".join(["d"] * 1500)
    try:
        make_directories(tmp_path / path)
        make_directories(tmp_path / path)
        assert (tmp_path / path).is_dir()
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            make_directories(tmp_path / "file" / "below")
        with pytest.raises(FileExistsError):
            make_directories(tmp_path / "file")
    finally:
        remove_tree(tmp_path / "d")


def test_a_copy_keeps_links_modes_and_times(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a").mkdir(parents=True)
    (source / "a" / "file").write_bytes(b"x" * 3_000_000)
    (source / "a" / "file").chmod(0o750)
    (source / "link").symlink_to("a/file")
    os.mkfifo(source / "pipe")
    (source / "a").chmod(0o500)
    os.utime(source / "a", (1, 1))
    copy_tree(source, target, metadata=True)
    assert sorted(entry.path for entry in walk(target)) == ["", "a", "a/file", "link"]
    assert (target / "a" / "file").read_bytes() == b"x" * 3_000_000
    assert stat.S_IMODE((target / "a" / "file").stat().st_mode) == 0o750
    assert stat.S_IMODE((target / "a").stat().st_mode) == 0o500
    assert (target / "a").stat().st_mtime == 1
    assert (target / "link").readlink() == Path("a/file")


def test_a_walk_has_a_depth_limit_as_an_argument(tmp_path: Path) -> None:
    nest(tmp_path, 5)
    too_deep: list[str] = []
    paths = [entry.path for entry in walk(tmp_path, lambda path, _error: too_deep.append(path), deepest=3)]
    assert paths[-1] == "d/d/d/d"
    assert too_deep == ["d/d/d/d"]
    with pytest.raises(OSError, match="nested more than 3 deep"):
        list(walk(tmp_path, deepest=3))
