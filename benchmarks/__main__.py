"""``python -m benchmarks [--quick] [NAME…]``: measure, print one table; exit 1 when a target is missed."""

from __future__ import annotations

import argparse
import os
import sys
import traceback

from benchmarks.api import access, encryption, memory, policies, requests, tokens, users
from benchmarks.cells import cards, panel, plain_cells
from benchmarks.data import frames, ipfs, results, s3
from benchmarks.engines import (
    cluster,
    daemonless,
    docker_rates,
    embedded,
    host_copies,
    host_jobs,
    hosts,
    images,
    link,
    logs,
    many,
    scheduling,
    wasm_jobs,
    whole_jobs,
)
from benchmarks.harness import Row, Unavailable, show
from benchmarks.swarm import jobs, nodes

MEASUREMENTS = {
    "api": requests.measure,
    "logs": logs.measure,
    "link": link.measure,
    "docker": whole_jobs.measure_docker,
    "docker-rates": docker_rates.measure,
    "hosts": hosts.measure,
    "host-copies": host_copies.measure,
    "host-jobs": host_jobs.measure,
    "images": images.measure,
    "daemonless": daemonless.measure,
    "embedded": embedded.measure,
    "process": whole_jobs.measure_process,
    "wasm": wasm_jobs.measure,
    "scheduling": scheduling.measure,
    "cluster": cluster.measure,
    "many": many.measure,
    "swarm": nodes.measure,
    "swarm-jobs": jobs.measure,
    "cells": plain_cells.measure,
    "cards": cards.measure,
    "memory": memory.measure,
    "access": access.measure,
    "tokens": tokens.measure,
    "policies": policies.measure,
    "users": users.measure,
    "encryption": encryption.measure,
    "s3": s3.measure,
    "results": results.measure,
    "frames": frames.measure,
    "ipfs": ipfs.measure,
    "panel": panel.measure,
}


def main() -> int:
    """Run the measurements that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(MEASUREMENTS)} (default: all)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds: to see that they work, not for figures"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(
            f"no such measurement: {', '.join(sorted(unknown))} (there are {', '.join(MEASUREMENTS)})"
        )
    print(
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}, Python {sys.version.split()[0]}", flush=True
    )
    rows: list[Row] = []
    failed = False
    for name in chosen.names or MEASUREMENTS:
        try:
            rows += MEASUREMENTS[name](chosen.quick)
        except Unavailable as error:
            print(f"{name}: not measured: {error}", flush=True)
        except Exception:
            failed = True
            print(f"{name}: failed", flush=True)
            traceback.print_exc()
    show(rows)
    return int(failed or any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
