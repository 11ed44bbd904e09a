"""The runner of Python cells in every tier: where a body can write, what comes back, what it displays."""

from __future__ import annotations

import json
from pathlib import Path

from bacalhau_jupyter.client.bodies.program import runner_files
from bacalhau_jupyter.notebook.displays.frames import Display
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.process.bench import SYSTEM_PYTHON, Bench
from tests.engines.running import Result
from tests.notebook.bodies import items_of

BODY = """
import os, sys
import beside, delivered
with open("scratch.txt", "w") as file:
    file.write("mine")
os.makedirs("deep/er")
with open("outputs/back.txt", "w") as file:
    file.write(open("scratch.txt").read())
print(sorted(name for name in os.listdir(".") if name in ("inputs", "outputs", "scratch.txt", "deep")))
!echo from the shell
await __import__("asyncio").sleep(0)
[beside.A, delivered.B, open("inputs/data.txt").read()]
"""


async def run(bench: Bench, body: str) -> Result:
    """Run a body as a cell's job does."""
    kit = bench.place / "kit"
    files = {
        **runner_files(),
        "cell.py": body.encode(),
        "cell.json": json.dumps({"in": {}, "out": [], "ways": []}).encode(),
        "modules/beside.py": b"A = 1",
    }
    data = bench.place / "data"
    for path, content in {
        **{kit / name: content for name, content in files.items()},
        data / "data.txt": b"input",
        data / "delivered.py": b"B = 2",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    inputs = [
        InputMount(data / "data.txt", "/inputs/data.txt"),
        InputMount(data / "delivered.py", "/inputs/delivered.py"),
        InputMount(kit, "/inputs/.bacalhau"),
    ]
    return await bench.run(
        [SYSTEM_PYTHON or "python3", "-u", "inputs/.bacalhau/job_runner.py"], inputs=inputs
    )


async def test_a_body_writes_imports_and_displays_in_every_tier(bench: Bench) -> None:
    result = await run(bench, BODY)
    assert result.outcome.exit_code == 0, result.stderr
    text, display = items_of(result.stdout)
    assert text == "['deep', 'inputs', 'outputs', 'scratch.txt']\nfrom the shell\n"
    assert isinstance(display, Display)
    assert display.data["text/plain"] == "[1, 2, 'input']"
    assert result.text("back.txt") == "mine"
    assert [path.name for path in Path(result.outputs).iterdir()] == ["back.txt"]


async def test_a_large_display_comes_whole_in_every_tier(bench: Bench) -> None:
    result = await run(bench, "display({'image/png': 'A' * 900_000, 'text/plain': 'p'}, raw=True)")
    (display,) = items_of(result.stdout)
    assert isinstance(display, Display)
    assert len(display.data["image/png"]) == 900_000
