"""Whole WebAssembly jobs: one at a time beside ``docker run``, many in a row, and three loops beside native code."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.wasm.trial import MODULE
from benchmarks.engines.official import rate
from benchmarks.engines.whole_jobs import FREE, compare, runtime_of
from benchmarks.harness import Row, job, node, session
from tests.services import docker_engine, images
from tests.services.common import ServiceUnavailableError

TARGET = "wasm32-wasip1"
LOOPS = """
use std::hint::black_box;
use std::time::Instant;
fn sieve(n: usize) -> usize {
    let mut marks = vec![true; n];
    let mut i = 2;
    while i * i < n { if marks[i] { let mut j = i * i; while j < n { marks[j] = false; j += i; } } i += 1; }
    marks.iter().skip(2).filter(|&&m| m).count()
}
fn matmul(n: usize) -> f64 {
    let (a, b) = (vec![1.5; n * n], vec![0.5; n * n]);
    let mut c = vec![0.0; n * n];
    for i in 0..n { for k in 0..n { let x = a[i * n + k]; for j in 0..n { c[i * n + j] += x * b[k * n + j]; } } }
    c[n + 1]
}
fn fnv(n: u32) -> u64 {
    let mut h: u64 = 0xcbf29ce484222325;
    for i in 0..n { h = (h ^ (i & 255) as u64).wrapping_mul(0x100000001b3); }
    h
}
fn timed<T>(name: &str, f: impl Fn() -> T) {
    let mut best = f64::MAX;
    for _ in 0..3 { let t = Instant::now(); black_box(f()); best = best.min(t.elapsed().as_secs_f64()); }
    println!("{} {}", name, best);
}
fn main() {
    timed("sieve", || sieve(black_box(20_000_000)));
    timed("matmul", || matmul(black_box(400)));
    timed("fnv", || fnv(black_box(100_000_000)));
}
"""


def measure(quick: bool) -> list[Row]:
    """Measure everything; what needs Docker or a Rust compiler is left out where there is none."""
    return [*_one(quick), *_many(quick), *_loops()]


def body(code: bytes, **resources: str) -> dict[str, Any]:
    """Return a submission of a module that travels in the spec."""
    url = "data:application/wasm;base64," + base64.b64encode(code).decode()
    source = {"Source": {"Type": "inline", "Params": {"URL": url}}, "Target": "/main.wasm"}
    params = {"EntryModule": "/main.wasm", "Entrypoint": "_start"}
    return job("wasm", params, InputSources=[source], Resources={**FREE, **resources})


def _one(quick: bool) -> list[Row]:
    raw, name = [sys.executable, "-I", "-c", "pass"], "plain child process"
    url = docker_engine.find()
    if url is not None:
        try:
            raw, name = ["docker", "run", "--rm", images.ensure_busybox(url), "true"], "docker run --rm"
        except ServiceUnavailableError:
            url = None
    ours_s, raw_s, _ = compare(body(MODULE), raw, 5 if quick else 20)
    return [
        Row("no-op wasm job, submit → Completed, median", ours_s * 1e3, "ms", raw_s * 1e3, name, 80),
    ]


def _many(quick: bool) -> list[Row]:
    async def run() -> float:
        async with session(served) as opened:
            await opened.run(body(MODULE))
            return await rate(opened, body(MODULE), jobs)

    jobs = 100 if quick else 500
    with node() as served:
        runtime_of(served, "wasm")
        per_second = asyncio.run(run())
    return [Row(f"{jobs} no-op wasm jobs", per_second, "/s", target=20, better="more")]


def _loops() -> list[Row]:
    compiler = shutil.which("rustc")
    if compiler is None:
        print("wasm: without loops beside native code: there is no rustc", flush=True)
        return []
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        source = Path(directory) / "loops.rs"
        source.write_text(LOOPS)
        native, module = Path(directory) / "loops", Path(directory) / "loops.wasm"
        options = [compiler, "-C", "opt-level=3", str(source), "-o"]
        subprocess.run([*options, str(native)], check=True, timeout=300)
        try:
            subprocess.run(
                [
                    *options,
                    str(module),
                    "--target",
                    TARGET,
                    "-C",
                    "strip=symbols",
                    "-C",
                    "target-feature=+simd128",
                ],
                check=True,
                timeout=300,
                capture_output=True,
            )
        except subprocess.CalledProcessError:
            print(f"wasm: without loops beside native code: rustup target add {TARGET}", flush=True)
            return []
        code = module.read_bytes()
        with node() as served:
            raw, ours = asyncio.run(_in_turn(served, native, body(code, Memory="256mb", CPU="1")))
    return [
        Row(
            f"loop {name} in a wasm job",
            ours[name] * 1e3,
            "ms",
            raw[name] * 1e3,
            "native",
            2.2,
            target_is_ratio=True,
        )
        for name in ours
    ]


async def _in_turn(
    served: Any, native: Path, submission: dict[str, Any]
) -> tuple[dict[str, float], dict[str, float]]:
    raw: dict[str, list[float]] = {}
    ours: dict[str, list[float]] = {}
    async with session(served) as opened:
        for _ in range(3):
            done = await asyncio.to_thread(
                subprocess.run, [str(native)], capture_output=True, text=True, check=True, timeout=120
            )
            _note(done.stdout, raw)
            _note(await _printed(opened, submission), ours)
    return tuple({name: min(times) for name, times in each.items()} for each in (raw, ours))  # type: ignore[return-value]


async def _printed(opened: Any, submission: dict[str, Any]) -> str:
    job_id = await opened.submit(submission)
    state = await opened.ended(job_id)
    async with opened.http.get(f"/api/v1/orchestrator/jobs/{job_id}/executions") as answer:
        (execution,) = (await answer.json())["Items"]
    if state != "Completed":
        raise RuntimeError(f"the job is {state}: {execution['ComputeState']['Message']}")
    return str(execution["RunOutput"]["Stdout"])


def _note(printed: str, times: dict[str, list[float]]) -> None:
    for line in printed.splitlines():
        name, seconds = line.split()
        times.setdefault(name, []).append(float(seconds))
