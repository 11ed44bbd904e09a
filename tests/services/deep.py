"""Trees as only a program can make them: directories nested step by step, deeper than a path is long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CODE = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[2])):
    os.mkdir(sys.argv[3])
    os.chdir(sys.argv[3])
open("file", "w").close()
"""


def nest(top: Path, depth: int, name: str = "d") -> None:
    """Nest that many directories below ``top``, the innermost with an empty ``file``."""
    subprocess.run([sys.executable, "-S", "-c", _CODE, top, str(depth), name], check=True)
