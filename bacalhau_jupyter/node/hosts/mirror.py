"""Device files of a host's GPUs, as empty files and links here: what looks for a GPU's files finds those there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bacalhau_jupyter.lib.removal import remove_tree

_BY_PATH = "dri/by-path"
_FILE = re.compile(r"kfd|dri/(?:card|renderD)\d{1,6}", re.ASCII)
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)


def mirror(directory: Path, device_files: Mapping[str, Sequence[str]]) -> None:
    """Make a directory what ``/dev`` is on a host, as far as GPUs go; blocks.

    Jobs look for files there at any time: what stays is never gone, not even for a moment.

    Parameters
    ----------
    device_files
        Names below ``/dev`` by the PCI address of their GPU; those of no address stand under another word.

    Raises
    ------
    OSError
        It can't be written.
    """
    files, links = set[str](), dict[str, str]()
    for address, names in device_files.items():
        for name in filter(_FILE.fullmatch, names):
            files.add(name)
            if _ADDRESS.fullmatch(address) and name.startswith("dri/"):
                kind = "card" if "card" in name else "render"
                links[f"pci-{address}-{kind}"] = f"../{name.removeprefix('dri/')}"
    by_path = directory / _BY_PATH
    by_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in files:
        (directory / name).touch(mode=0o600)
    for name, target in links.items():
        _link(by_path / name, target)
    expected = {*files, *(f"{_BY_PATH}/{name}" for name in links), "dri", _BY_PATH}
    for inside in (directory, directory / "dri", by_path):
        for path in inside.iterdir():
            if path.relative_to(directory).as_posix() not in expected:
                remove_tree(path)


def _link(path: Path, target: str) -> None:
    if path.is_symlink() and path.readlink() == Path(target):
        return
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
