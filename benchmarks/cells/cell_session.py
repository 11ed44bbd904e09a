"""A plain IPython in a process of its own that runs cells and prints how long they took, as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from typing import Any

from tests.packages.wheels import Index, make_wheel, serving

PYTHON_CELL = "%%bacalhau python\nprint(1)"
LINES_CELL = """%%bacalhau python
import time
for _ in range(40):
    print("AT", time.time_ns(), flush=True)
    time.sleep(0.02)
"""


PLOT_CELL = """%%bacalhau python
import time
import matplotlib.pyplot as plt
plt.plot([1, 3, 2])
print("SHOW", time.time_ns(), flush=True)
plt.show()
"""


class Arrivals(io.StringIO):
    """Notes how long after it was printed each line of `LINES_CELL` is written into the cell."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def write(self, text: str) -> int:
        """Take a chunk of output."""
        now = time.time_ns()
        self.delays += [
            (now - int(line.removeprefix("AT "))) / 1e9
            for line in text.splitlines()
            if line.startswith("AT ")
        ]
        return super().write(text)


def main(rounds: int, image: str) -> dict[str, Any]:
    """Time the extension's load, process cells and, with an image, docker cells in turn with ``docker run``."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    printed = Arrivals()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        started = time.perf_counter()
        shell.run_line_magic("load_ext", "bacalhau_jupyter")
        durations_s: dict[str, Any] = {
            "load_ext": time.perf_counter() - started,
            "process": [],
            "docker": [],
            "raw": [],
        }
        for _ in range(rounds + 1):
            durations_s["process"].append(cell(shell, PYTHON_CELL, printed))
        durations_s["packages"] = packages(shell, rounds, printed)
        cell(shell, LINES_CELL, printed)
        durations_s["plots"] = [plot(shell, printed) for _ in range(rounds)] if has_matplotlib() else []
        for _ in range(rounds + 1 if image else 0):
            durations_s["docker"].append(cell(shell, f"%%bacalhau docker {image} -- true", printed))
            started = time.perf_counter()
            subprocess.run(["docker", "run", "--rm", image, "true"], check=True, timeout=60)
            durations_s["raw"].append(time.perf_counter() - started)
    durations_s = {key: value[1:] if isinstance(value, list) else value for key, value in durations_s.items()}
    return durations_s | {"lines": printed.delays}


def packages(shell: Any, rounds: int, printed: io.StringIO) -> list[float]:
    """Return the seconds that a cell with ``--pip`` takes longer than one without, once the set is kept."""
    cells = [f"%%bacalhau python{words}\nprint(1)" for words in ("", ' --pip "good>=1"')]
    with serving(Index()) as index:
        index.add(make_wheel("good"))
        for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
            del os.environ[name]
        os.environ["PIP_INDEX_URL"] = index.url
        # The first one resolves, fetches and keeps the set.
        pairs = [[cell(shell, text, printed) for text in cells] for _ in range(rounds + 1)]
    return [with_packages - plain for plain, with_packages in pairs]


def has_matplotlib() -> bool:
    """Whether jobs in this environment can plot."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def plot(shell: Any, printed: io.StringIO) -> float:
    """Run a cell with a plot; return the seconds from ``plt.show()`` until the picture is in the notebook."""
    arrived: list[int] = []
    publish = shell.display_pub.publish

    def note(data: dict[str, Any], *arguments: Any, **options: Any) -> None:
        if "image/png" in data:
            arrived.append(time.time_ns())
        publish(data, *arguments, **options)

    shell.display_pub.publish = note
    try:
        cell(shell, PLOT_CELL, printed)
    finally:
        shell.display_pub.publish = publish
    shown = [line for line in printed.getvalue().splitlines() if line.startswith("SHOW ")][-1]
    return (arrived[0] - int(shown.removeprefix("SHOW "))) / 1e9


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
