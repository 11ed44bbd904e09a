"""What kind of file system a directory lies on."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bacalhau_jupyter.lib.text import read_text

_NETWORK = re.compile(
    r"nfs\d*|cifs|smb\d*|smbfs|afs|9p|ceph|lustre|gpfs|beegfs|glusterfs|orangefs|ocfs2|gfs2"
    r"|fuse\.(sshfs|glusterfs|ceph.*|s3fs|gcsfuse|rclone|juicefs|davfs.*|blobfuse.*)",
)


def on_network(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether a directory lies on a network file system; False where the system doesn't tell.

    Parameters
    ----------
    path
        An existing file or directory.
    mountinfo
        The kernel's table of mounts.
    """
    try:
        device = path.stat().st_dev
        table = read_text(mountinfo, errors="replace")
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in table.splitlines():
        mount, _, about = line.partition(" - ")
        fields, kind = mount.split(), about.split(" ", 1)[0]
        if len(fields) > 2 and fields[2] == number:
            return _NETWORK.fullmatch(kind) is not None
    return False
