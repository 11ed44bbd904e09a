"""The users that a job with its own file tree knows: itself, root and nobody."""

from __future__ import annotations

import os
from pathlib import Path

from bacalhau_jupyter.lib.text import write_text

PASSWD, GROUP = "/etc/passwd", "/etc/group"


def write(directory: Path, name: str, user: int, home: str) -> list[tuple[Path, str]]:
    """Write the two files of accounts; return each with its place in the job's tree.

    Parameters
    ----------
    directory
        Where to write.
    name
        The job's user, as ``$USER`` has it.
    user
        Its uid and gid; -1 for this process's own.
    home
        Its home directory inside the job.
    """
    uid, gid = (user, user) if user >= 0 else (os.geteuid(), os.getegid())
    passwd = [("root", 0, 0, "/root"), ("nobody", 65534, 65534, "/nonexistent")]
    group = [("root", 0), ("nogroup", 65534)]
    lines = {
        PASSWD: [f"{each}:x:{number}:{theirs}::{place}:/bin/false" for each, number, theirs, place in passwd],
        GROUP: [f"{each}:x:{number}:" for each, number in group],
    }
    # Before the others: a look-up takes the first that fits, and the node's user may be `nobody`.
    lines[PASSWD].insert(0, f"{name}:x:{uid}:{gid}:job:{home}:/bin/sh")
    lines[GROUP].insert(0, f"{name}:x:{gid}:")
    files = []
    for place, text in lines.items():
        file = directory / Path(place).name
        write_text(file, "\n".join([*text, ""]))
        file.chmod(0o644)
        files.append((file, place))
    return files
