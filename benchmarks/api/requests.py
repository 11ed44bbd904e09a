"""The API: submissions, reads and lists, beside bare aiohttp with SQLite group commit."""

from __future__ import annotations

import json

from benchmarks.harness import JOBS, Row, bare, job, load, node, settle

NOOP = json.dumps(job("noop", {}))
RAW = "bare aiohttp + SQLite group commit"


def measure(quick: bool) -> list[Row]:
    """Submissions run to their end meanwhile, as they do in life."""
    many = 1000 if quick else 4000
    with bare() as port:
        load(port, "PUT", "/jobs", 4, 200, NOOP)
        raw_one = load(port, "PUT", "/jobs", 1, 300, NOOP)
        raw_many = load(port, "PUT", "/jobs", 100, many, NOOP)
        raw_read = load(port, "GET", "/alive", 20, many)
    with node() as served:
        load(served.port, "PUT", JOBS, 4, 200, NOOP)
        settle(served)
        one = load(served.port, "PUT", JOBS, 1, 300, NOOP)
        settle(served)
        hundred = load(served.port, "PUT", JOBS, 100, many, NOOP)
    with node(roles=["--orchestrator"]) as served:
        load(served.port, "PUT", JOBS, 100, 500, NOOP)
        settle(served)
        alone = load(served.port, "PUT", JOBS, 100, many, NOOP)
        settle(served)
        read = load(served.port, "GET", "/api/v1/agent/alive", 20, many)
        nodes = load(served.port, "GET", "/api/v1/orchestrator/nodes", 20, many)
    return [
        Row("submit, 1 client, p50", one["p50_ms"], "ms", raw_one["p50_ms"], RAW, 4),
        Row(
            "submit, 100 clients, jobs run meanwhile",
            hundred["rate"],
            "/s",
            raw_many["rate"],
            RAW,
            target=800,
            better="more",
        ),
        Row("submit, 100 clients, orchestrator only", alone["rate"], "/s", raw_many["rate"], RAW),
        Row(
            "read agent/alive, 20 clients",
            read["rate"],
            "/s",
            raw_read["rate"],
            RAW,
            target=2000,
            better="more",
        ),
        Row("read nodes, 20 clients", nodes["rate"], "/s", raw_read["rate"], RAW),
        *listing(2000 if quick else 10_000),
    ]


def listing(count: int) -> list[Row]:
    """A page of 50 out of many; no node runs them, so they all fail at once and stay."""
    with node(roles=["--orchestrator"]) as served:
        load(served.port, "PUT", JOBS, 100, count, NOOP)
        settle(served)
        newest = load(served.port, "GET", f"{JOBS}?limit=50&order_by=created_at&reverse=true", 1, 100)
        label = "labels=bacalhau_canary%21%3Dtrue"
        official = load(served.port, "GET", f"{JOBS}?{label}&limit=50", 1, 100)
    return [
        Row(f"list the newest 50 of {count} jobs, p50", newest["p50_ms"], "ms", target=10),
        Row(f"list 50 of {count} jobs as the official CLI does, p50", official["p50_ms"], "ms", target=10),
    ]
