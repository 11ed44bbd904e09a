"""The name that a shared library has for the linker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.daemonless.devices.soname import soname
from tests.engines.daemonless.devices.specification import library


def write(place: Path, content: bytes) -> Path:
    path = place / "library"
    path.write_bytes(content)
    return path


def test_the_name_is_read(tmp_path: Path) -> None:
    assert soname(write(tmp_path, library("libcuda.so.1"))) == "libcuda.so.1"


@pytest.mark.process
def test_libraries_of_an_image_have_the_names_of_their_links(python_tree: Path) -> None:
    names = [path for path in python_tree.glob("usr/lib/*/libz.so.1.*") if not path.is_symlink()]
    assert [soname(path) for path in names] == ["libz.so.1"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "ä", "/etc/passwd"])
def test_a_name_that_is_none_is_not_taken(name: str, tmp_path: Path) -> None:
    assert soname(write(tmp_path, library(name))) == ""


def test_files_that_are_no_libraries(tmp_path: Path) -> None:
    whole = library("libcuda.so.1")
    for content in (b"", b"#!/bin/sh\n", whole[:60], whole[:100], whole[:180], b"\x7fELF" + b"\xff" * 500):
        assert soname(write(tmp_path, content)) == ""
    os.mkfifo(tmp_path / "pipe")
    assert soname(tmp_path / "pipe") == ""
    assert soname(tmp_path / "none") == ""
