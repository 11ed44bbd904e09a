"""Device files of a host's GPUs, as empty files and links here: what looks for a GPU's files finds those there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bacalhau_jupyter.lib.removal import remove_tree

_FILE = re.compile(r"kfd|dri/(?:card|renderD)\d{1,6}", re.ASCII)
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)


def mirror(directory: Path, device_files: Mapping[str, Sequence[str]]) -> None:
    """Make a directory what ``/dev`` is on a host, as far as GPUs go; blocks.

    Parameters
    ----------
    device_files
        Names below ``/dev`` by the PCI address of their GPU; those of no address stand under another word.

    Raises
    ------
    OSError
        It can't be written.
    """
    remove_tree(directory)
    links = directory / "dri" / "by-path"
    links.mkdir(mode=0o700, parents=True)
    for address, names in device_files.items():
        for name in filter(_FILE.fullmatch, names):
            (directory / name).touch(mode=0o600)
            if _ADDRESS.fullmatch(address) and name.startswith("dri/"):
                kind = "card" if "card" in name else "render"
                link = links / f"pci-{address}-{kind}"
                link.unlink(missing_ok=True)
                link.symlink_to(f"../{name.removeprefix('dri/')}")
