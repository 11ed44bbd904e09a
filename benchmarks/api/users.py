"""What users cost: CPU time to know one and what it may do, hashes of passwords, and reads with credentials."""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import time

import bcrypt
import psutil

from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.capabilities import check_capability, needed_capability
from bacalhau_jupyter.auth.sockets import TrustedSockets
from bacalhau_jupyter.auth.users.authenticator import ConfiguredUsers
from bacalhau_jupyter.auth.users.records import read_users
from bacalhau_jupyter.lib.clock import SystemClock
from benchmarks.harness import JOBS, Row, load, node

KEY, PASSWORD = "a-key-of-the-benchmark-0123", "correct horse battery"
READS = f"{JOBS}?limit=1"
MANY_USERS = 100


def measure(quick: bool) -> list[Row]:
    """A hundred users with keys, and one with a hash as its password."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10, b"2a")).decode()
    records: list[dict[str, object]] = [
        {"Alias": f"user {number}", "APIKey": f"{KEY}-{number}", "Capabilities": [{"Actions": ["read:job"]}]}
        for number in range(MANY_USERS)
    ]
    records.append({"Username": "bea", "Password": hashed, "Capabilities": [{"Actions": ["read:job"]}]})
    basic = "Basic " + base64.b64encode(f"bea:{PASSWORD}".encode()).decode()
    bearer = f"Bearer {KEY}-{MANY_USERS - 1}"
    return [
        *asyncio.run(_cpu(records, bearer, basic, 500 if quick else 5000)),
        *_reads(records, bearer, basic, 1000 if quick else 5000),
    ]


async def _cpu(records: list[dict[str, object]], bearer: str, basic: str, rounds: int) -> list[Row]:
    checks = 0
    check = bcrypt.checkpw

    def counted(password: bytes, stored: bytes) -> bool:
        nonlocal checks
        checks += 1
        return check(password, stored)

    bcrypt.checkpw = counted  # type: ignore[assignment]
    users, sockets = ConfiguredUsers(read_users(records), SystemClock()), TrustedSockets(enabled=False)
    access = Access([users], sockets)

    async def one(authorization: str) -> float:
        started = time.process_time()
        for _ in range(rounds):
            principal = await access.identify({"Authorization": authorization}, None)
            check_capability(principal, needed_capability("GET", JOBS))
        return (time.process_time() - started) / rounds * 1e3

    try:
        await access.identify({"Authorization": basic}, None)
        by_key, by_password = await one(bearer), await one(basic)
    finally:
        bcrypt.checkpw = check
        users.close()
        sockets.close()
    return [
        Row("authorization with a key", by_key, "ms CPU", target=0.2),
        Row("authorization with a password, checked lately", by_password, "ms CPU", target=0.2),
        Row(f"hashes for {rounds + 1} requests with a password in a minute", checks, "hashes", target=1),
    ]


def _reads(records: list[dict[str, object]], bearer: str, basic: str, requests: int) -> list[Row]:
    """Alternate, because other programs on the machine change over time; compare CPU time as well as rates."""
    kinds = {"": "", "key": bearer, "password": basic}
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    with node("-c", f"API.Auth.Users={json.dumps(records)}") as served:
        process = psutil.Process(served.process.pid)
        for authorization in kinds.values():
            load(served.port, "GET", READS, 4, 200, authorization=authorization)
        for _ in range(3):
            for kind, authorization in kinds.items():
                before = process.cpu_times()
                report = load(served.port, "GET", READS, 20, requests, authorization=authorization)
                after = process.cpu_times()
                rates[kind].append(report["rate"])
                spent[kind].append((after.user + after.system - before.user - before.system) / requests * 1e3)
    rows = []
    for kind in ("key", "password"):
        ours, raw = (statistics.median(rates[name]) for name in (kind, ""))
        rows.append(
            Row(
                f"reads with a {kind}",
                ours,
                "/s",
                raw,
                "own user",
                target=0.8,
                better="more",
                target_is_ratio=True,
            )
        )
        ours, raw = (statistics.median(spent[name]) for name in (kind, ""))
        rows.append(Row(f"node's CPU for a read with a {kind}", ours, "ms", raw, "own user"))
    return rows
