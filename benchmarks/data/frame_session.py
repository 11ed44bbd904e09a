"""A plain IPython in a process of its own that sends a frame through a cell and back, as JSON on the last line."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COLUMNS = 20


def main(size: int, rounds: int) -> dict[str, Any]:
    """Time the way there and back, and two times writing and reading the same file, in turns."""
    import numpy
    import pandas
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    rows = size // (8 * COLUMNS)
    generator = numpy.random.default_rng(1)
    frame = pandas.DataFrame({f"c{number}": generator.random(rows) for number in range(COLUMNS)})
    shell.user_ns["frame"] = frame
    printed = io.StringIO()
    durations: dict[str, Any] = {"ours": [], "raw": [], "bytes": 0}
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        shell.run_line_magic("load_ext", "bacalhau_jupyter")
        shell.run_cell("%%bacalhau python\nimport pandas")
        for _ in range(rounds):
            os.sync()  # what one of them left to be written must not slow the other down
            durations["raw"].append(_raw(frame, durations))
            gc.collect()
            os.sync()
            started = time.perf_counter()
            ran = shell.run_cell("%%bacalhau python --memory 8gb --in frame --out back\nback = frame")
            durations["ours"].append(time.perf_counter() - started)
            if not ran.success:
                raise RuntimeError(f"the cell failed: {printed.getvalue()[-2000:]}")
            assert shell.user_ns.pop("back").equals(frame)
            gc.collect()
    return durations


def _raw(frame: Any, durations: dict[str, Any]) -> float:
    import pandas

    with tempfile.TemporaryDirectory(prefix="bench-frame-") as directory:
        started = time.perf_counter()
        for number in range(2):
            path = Path(directory) / f"{number}.parquet"
            frame.to_parquet(path)
            pandas.read_parquet(path)
        taken = time.perf_counter() - started
        durations["bytes"] = path.stat().st_size
    return taken


if __name__ == "__main__":
    print("RESULT " + json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
