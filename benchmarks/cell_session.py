"""A plain IPython in a process of its own that runs cells and prints how long they took, as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import time
from typing import Any

PYTHON_CELL = "%%bacalhau python\nprint(1)"


def main(rounds: int, image: str) -> dict[str, Any]:
    """Time the extension's load, process cells and, with an image, docker cells in turn with ``docker run``."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        started = time.perf_counter()
        shell.run_line_magic("load_ext", "bacalhau_jupyter")
        found: dict[str, Any] = {
            "load_ext": time.perf_counter() - started,
            "process": [],
            "docker": [],
            "raw": [],
        }
        for _ in range(rounds + 1):
            found["process"].append(cell(shell, PYTHON_CELL, printed))
        for _ in range(rounds + 1 if image else 0):
            found["docker"].append(cell(shell, f"%%bacalhau docker {image} -- true", printed))
            started = time.perf_counter()
            subprocess.run(["docker", "run", "--rm", image, "true"], check=True, timeout=60)
            found["raw"].append(time.perf_counter() - started)
    return {key: value[1:] if isinstance(value, list) else value for key, value in found.items()}


def cell(shell: Any, text: str, printed: io.StringIO) -> float:
    """Run a cell; return the seconds. Ends with what was printed when the cell failed."""
    started = time.perf_counter()
    result = shell.run_cell(text)
    took = time.perf_counter() - started
    if not result.success:
        raise SystemExit(printed.getvalue()[-2000:])
    return took


if __name__ == "__main__":
    sys.stdout.write("RESULT " + json.dumps(main(int(sys.argv[1]), sys.argv[2])) + "\n")
