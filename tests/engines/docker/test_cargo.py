"""The digest of an input: of all that a job could tell apart but times, whether it is read or sent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.files import cargo
from bacalhau_jupyter.plugins.contract import InputMount, no_progress


def nothing() -> None:
    return


def digest_of(path: Path, name: str = "place") -> str:
    return cargo.digest(cargo.Item(InputMount(path, "/in"), name), no_progress, nothing)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    (directory / "sub").mkdir(parents=True)
    (directory / "sub" / "large").write_bytes(os.urandom(700_001))
    (directory / "small").write_bytes(b"x")
    (directory / "again").hardlink_to(directory / "small")
    (directory / "link").symlink_to("sub/large")
    return directory


def test_it_is_the_same_for_a_copy_read_or_sent_beside_others(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data, copy, symlinks=True)
    (copy / "again").unlink()
    (copy / "again").hardlink_to(copy / "small")
    os.utime(copy / "small", (1, 1))
    sent: dict[str, str] = {}
    items = [cargo.Item(InputMount(path, "/in"), f"in/{path.name}") for path in (data, copy)]
    assert list(cargo.stream([], items, no_progress, nothing, sent))
    assert set(sent.values()) == {digest_of(data), digest_of(copy, "elsewhere/in/3")}
    assert len(set(sent.values())) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda data: (data / "small").write_bytes(b"y"),
        lambda data: (data / "sub" / "large").write_bytes(os.urandom(700_001)),
        lambda data: (data / "small").chmod(0o600),
        lambda data: (data / "sub").chmod(0o700),
        lambda data: (data / "link").unlink(),
        lambda data: (data / "small").rename(data / "other"),
        lambda data: (data / "empty").mkdir(),
        lambda data: ((data / "again").unlink(), (data / "again").write_bytes(b"x")),
        lambda data: ((data / "link").unlink(), (data / "link").symlink_to("small")),
    ],
)
def test_whatever_a_job_could_tell_apart_changes_it(data: Path, change: Callable[[Path], object]) -> None:
    before = digest_of(data)
    change(data)
    assert digest_of(data) != before


def test_names_that_are_no_text_have_a_digest_too(data: Path) -> None:
    Path(os.fsdecode(os.fsencode(data) + b"/\xff")).write_bytes(b"")
    assert len(digest_of(data)) == 64
