"""What tests of transfers share: small disks, comparable trees, hand-made tars."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.common import is_root


@contextmanager
def small_disk(path: Path, size: str = "2m") -> Iterator[Path]:
    """Mount a real file system of `size` on `path`; skip where that isn't allowed."""
    path.mkdir(exist_ok=True)
    if not is_root():
        pytest.skip("a small disk needs root to mount a tmpfs")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"a tmpfs can't be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], timeout=60, check=True)


def names(directory: Path) -> list[str]:
    """Return what a directory holds, hidden things too."""
    return sorted(entry.name for entry in directory.iterdir())


def negative_size(*, has_pax: bool) -> bytes:
    """Return the header of a file of less than no bytes, as a number of the header or of its PAX records."""
    info, size = tarfile.TarInfo("a"), -(1 << 40)
    if has_pax:
        info.pax_headers = {"size": str(size)}
        return info.tobuf(tarfile.PAX_FORMAT)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size.to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tree(root: Path) -> dict[str, tuple[str, object, int]]:
    """Describe everything below `root`: kind, contents or target, and permissions."""
    entries: dict[str, tuple[str, object, int]] = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = Path(directory) / name
            key, mode = str(path.relative_to(root)), path.lstat().st_mode & 0o777
            if path.is_symlink():
                entries[key] = ("link", str(path.readlink()), 0)
            elif path.is_dir():
                entries[key] = ("directory", None, mode)
            else:
                entries[key] = ("file", path.read_bytes(), mode)
    return entries


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def tar_gz(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Build a gzip tar exactly as told."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), 1)
