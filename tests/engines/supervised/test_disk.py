"""What a job takes of the disk, looked at where others leave this user no process to do so."""

from __future__ import annotations

import subprocess
import sys

LOOKING = """
import os, resource, tempfile, time
from bacalhau_jupyter.engines.supervised.supervisor.limits.disk import Disk

if os.geteuid() == 0:
    os.setgid(54321)
    os.setuid(54321)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
with tempfile.TemporaryDirectory() as place:
    disk = Disk(1 << 20, [place])
    began = time.monotonic()
    disk.look([])
    print(disk.looker, disk.look_at > began)
    with open(f"{place}/results", "wb") as file:
        file.write(bytes(1 << 16))
        os.fsync(file.fileno())
    print(disk.last_look() >= 1 << 16)
"""


def test_a_look_that_can_not_be_taken_now_is_taken_later() -> None:
    looked = subprocess.run([sys.executable, "-c", LOOKING], capture_output=True, text=True, check=False)
    assert (looked.stdout.split(), looked.stderr) == (["-1", "True", "True"], "")
