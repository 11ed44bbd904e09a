"""What a policy costs: one decision with a token, by the built-in engine and by the `opa` program."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bacalhau_jupyter.auth.policies.engine import BuiltInEngine, Engine
from bacalhau_jupyter.auth.policies.exact import OpaEngine
from bacalhau_jupyter.auth.policies.files import read_policy
from bacalhau_jupyter.auth.policies.hosting import DECISION, VALID
from bacalhau_jupyter.auth.policies.requests import HttpRequest
from bacalhau_jupyter.auth.policies.tokens import TokenKey
from bacalhau_jupyter.auth.policies.verdicts import AccessPolicy, Complaints
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.text import write_text
from benchmarks.harness import JOBS, Row

POLICY = """package bacalhau.authz
import rego.v1

default allow := false
default token_valid := false

claims := payload if {
	value := trim_prefix(input.http.headers.Authorization[0], "Bearer ")
	[valid, _, payload] := io.jwt.decode_verify(value, input.constraints)
	valid
}
token_valid if claims
allow if bits.and(claims.ns["*"], 1) != 0
"""


def measure(quick: bool) -> list[Row]:
    """One caller at a time, with a token that each decision checks anew."""
    return asyncio.run(_decisions(50 if quick else 500))


async def _decisions(rounds: int) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "access.rego"
        write_text(path, POLICY)
        policy, key = read_policy(str(path)), TokenKey.load(Path(directory) / "user_id.pem", "n-bench")
        engines: dict[str, tuple[Engine, float]] = {
            "built-in engine": (BuiltInEngine(policy, (DECISION, VALID)), 12.0)
        }
        program = shutil.which("opa")
        if program is not None:
            engines["opa program"] = (OpaEngine(program, policy), 2.5)
        for name, (engine, target) in engines.items():
            await engine.start()
            try:
                rows.append(
                    Row(
                        f"decision of a policy, {name}, p50",
                        await _p50(engine, key, rounds),
                        "ms",
                        target=target,
                    )
                )
            finally:
                await engine.close()
    return rows


async def _p50(engine: Engine, key: TokenKey, rounds: int) -> float:
    now = time.time_ns() / 1000
    token = key.sign({"iss": key.node_id, "aud": [key.node_id], "exp": now + 1e12, "ns": {"*": 5}})
    request = HttpRequest("127.0.0.1", "GET", JOBS, "limit=1", (("Authorization", f"Bearer {token}"),))
    access = AccessPolicy(engine, key, Complaints("benchmark", SystemClock()))
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        verdict = await access.verdict(request)
        times.append((time.perf_counter() - started) * 1e3)
        assert verdict.approved
    return statistics.median(times)
