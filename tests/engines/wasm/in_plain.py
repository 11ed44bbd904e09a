"""Runs modules in an interpreter that has nothing of Linux's own, as do all processes that it starts.

``python -m tests.engines.wasm.in_plain PLACE REPORT``; prints what became of them. macOS itself may differ: this shows
what our code does where a call is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import wasmtime

from bacalhau_jupyter.engines.wasm import launch, runtime
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from tests.engines.network.web import looking_up, web_server
from tests.engines.running import Result
from tests.engines.wasm import without_linux
from tests.engines.wasm.bench import Bench, printing
from tests.engines.wasm.files import read_file, write_file
from tests.engines.wasm.test_engine import LOOPING, SLEEPING
from tests.engines.wasm.test_http import asking

LOADED = (wasmtime,)


def ended(result: Result) -> list[object]:
    return [result.outcome.reason.value, result.outcome.exit_code, result.stdout, result.error]


async def run(place: Path) -> dict[str, object]:
    with web_server(lambda request: str(request.headers["Host"])) as port:
        return await use(
            Bench(place, launch.confinement_here(sys.platform), looking_up(port, "good.example.com")),
            place,
            port,
        )


async def use(bench: Bench, place: Path, port: int) -> dict[str, object]:
    said: dict[str, object] = {"problem": await bench.open()}
    available = await bench.engine.probe()
    said["runtime"] = available.runtime
    said["prints"] = ended(await bench.run(printing("hello")))
    data = place / "data"
    data.mkdir()
    (data / "text").write_bytes(b"content")
    said["reads"] = ended(await bench.run(read_file("/data", "text"), inputs={"/data": data}))
    written = await bench.run(write_file("/outputs/made", b"made"))
    said["writes"] = (written.outputs / "made").read_text()
    network = NetworkConfig(type=NetworkType.HTTP, domains=["good.example.com"])
    for kind, host in (
        (network, "good.example.com"),
        (NetworkConfig(type=NetworkType.HOST), f"127.0.0.1:{port}"),
    ):
        answered = await bench.run(asking(f"http://{host}/"), network=kind)
        said[kind.type.name] = host in answered.stdout
    said["trap"] = ended(await bench.run(printing("so far", "unreachable")))
    said["time-out"] = ended(await bench.run(LOOPING, timeout_s=0.5))[0]
    for name, module in (("sleeping", SLEEPING), ("looping", LOOPING)):
        request = bench.request(module, timeout_s=None)
        await bench.engine.start(request)
        await bench.engine.cancel(request.execution.id)
        said[f"cancel {name}"] = (await bench.finish(request)).outcome.reason.value
    request = bench.request(printing("before", "(loop $again (br $again))"), timeout_s=None)
    await bench.engine.start(request)
    await bench.again()
    said["attached"] = await bench.engine.attach(request)
    await bench.engine.cancel(request.execution.id)
    said["restarted"] = (await bench.finish(request)).outcome.reason.value
    await bench.close()
    said["left"] = await bench.engine.existing()
    return said


def main() -> None:
    """Take Linux away, run modules, and print what became of them."""
    place, report = Path(sys.argv[1]), sys.argv[2]
    installed = runtime.find()
    prelude = place / "python"
    source = Path(without_linux.__file__).read_text(encoding="utf-8") + "\nmain()\n"
    prelude.write_text(
        "#!/bin/sh\n"
        f"report='{report}' python='{sys.executable}' first='{place}/first.py'\n"
        'if [ "$1 $2 $3" = "-I -S -c" ]; then shift 3; exec "$python" -I -S "$first" "$report" "$@"; fi\n'
        'exec "$python" "$@"\n'
    )
    (place / "first.py").write_text(source, encoding="utf-8")
    prelude.chmod(0o755)
    without_linux.take_away()
    without_linux.watch(report)
    sys.executable = str(prelude)
    runtime.find = lambda: installed  # there is no library for the machine that this pretends to be
    os.umask(0o022)
    sys.stdout.write(json.dumps(asyncio.run(run(place))))


if __name__ == "__main__":
    main()
