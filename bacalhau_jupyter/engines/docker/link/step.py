"""Tries the way to a host step by step, and says of each step how it went."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import statistics
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.link.asking import NotAnEngine
from bacalhau_jupyter.engines.docker.link.fault import Fault, Part, WayClosed, refused, unreachable
from bacalhau_jupyter.engines.docker.link.plain import PlainWay
from bacalhau_jupyter.engines.docker.link.ssh.places import places_for
from bacalhau_jupyter.engines.docker.link.ssh.way import SshWay
from bacalhau_jupyter.engines.docker.link.target import PlainTarget, SshTarget
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.models.told import number, words

CLOCK = "clock"
ROUND_TRIP = "round trip"
SKEW_SHOWN_S = 5.0
"""Seconds from which on the clock of a host is worth a hint."""
_PINGS = 5
_TO_LOG_IN = (Part.NAME, Part.SERVER, Part.KEY, Part.LOGIN)


@dataclass(frozen=True)
class Step:
    """How one step went.

    Attributes
    ----------
    step
        Which one: ``name``, ``server``, ``host key``, ``login``, ``docker socket``, ``engine``, ``clock`` or
        ``round trip``; ``this machine`` where nothing could be tried.
    ok
        Whether the next one could be taken.
    hint
        What a person can do; also where it went well and something is odd.
    """

    step: str
    ok: bool
    sentence: str
    hint: str = ""


class _Asked(Protocol):
    async def info(self) -> dict[str, Any]: ...

    async def check(self) -> Fault | None: ...


async def examine(
    name: str,
    target: SshTarget | PlainTarget,
    *,
    runtime_dir: Path,
    clock: Clock,
    known_hosts: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Step]:
    """Take the steps on a way of its own: a link to the same host goes on undisturbed.

    The last step has failed, or is the round trip. See `ssh.link.SshLink` for the parameters.
    """
    steps = (
        _over_ssh(name, target, runtime_dir, clock, known_hosts, os.environ if env is None else env)
        if isinstance(target, SshTarget)
        else _plain(name, target, clock)
    )
    async with contextlib.aclosing(steps):
        async for step in steps:
            yield step


async def _over_ssh(
    name: str,
    target: SshTarget,
    runtime_dir: Path,
    clock: Clock,
    known_hosts: Path | None,
    env: Mapping[str, str],
) -> AsyncGenerator[Step, None]:
    places = places_for(f"{name} {secrets.token_hex(8)}", runtime_dir)
    way = SshWay(name, target, places, known_hosts=known_hosts, env=env)
    try:
        fault = await _fault_of(way.connect())
        facts = way.host.resolved
        over = f", over {readable(facts.jump)}" if facts.jump else ""
        sentences = {
            Part.NAME: f"{name} is {readable(facts.host)}{over}",
            Part.SERVER: f"an ssh server answers on port {facts.port}",
            Part.KEY: "its key is known",
            Part.LOGIN: f"it lets {readable(facts.user) or 'us'} in",
        }
        for step in _until(fault, _TO_LOG_IN, sentences):
            yield step
        if fault is not None:
            return
        fault, words = await _result_of(way.reach_engine())
        around = f" ({words})" if words and words != "ssh" else ""
        for step in _until(fault, (Part.SOCKET,), {Part.SOCKET: f"{way.socket} can be used{around}"}):
            yield step
        if fault is None or fault.part is Part.ENGINE:
            async for step in _at_engine(name, way, fault, clock):
                yield step
    finally:
        await way.close()
        await asyncio.to_thread(places.remove)


async def _plain(name: str, target: PlainTarget, clock: Clock) -> AsyncGenerator[Step, None]:
    endpoint = Endpoint(target.url, f"host {name}", target.tls, shown=f"host {name}")
    way = PlainWay(name, endpoint)
    parts = urlsplit(target.url)
    try:
        fault = await _fault_of(way.open())
        sentences = {
            Part.NAME: f"{name} is {parts.hostname}",
            Part.SERVER: f"something listens on port {parts.port if endpoint.socket is None else ''}",
            Part.LOGIN: "its certificate and ours are accepted",
            Part.SOCKET: f"{endpoint.socket} can be used",
        }
        over_port = (Part.NAME, Part.SERVER, *(() if target.tls is None else (Part.LOGIN,)))
        passed = over_port if endpoint.socket is None else (Part.SOCKET,)
        for step in _until(fault, passed, sentences):
            yield step
        if fault is None or fault.part is Part.ENGINE:
            async for step in _at_engine(name, way, fault, clock):
                yield step
    finally:
        await way.close()


async def _at_engine(name: str, way: _Asked, fault: Fault | None, clock: Clock) -> AsyncIterator[Step]:
    """Yield what the engine itself says."""
    info = dict[str, Any]()
    begun_ns = clock.now_ns()
    if fault is None:
        try:
            info = await way.info()
        except (OSError, NotAnEngine) as error:
            fault = unreachable(
                Part.ENGINE, f"the Docker Engine of {name} does not answer: {error}", "Look at it there."
            )
    middle_ns = (begun_ns + clock.now_ns()) // 2
    if fault is None and info.get("OSType", "linux") != "linux":
        kind = words(info["OSType"], 60) or "other"
        fault = refused(
            Part.ENGINE,
            f"the Docker Engine of {name} runs {kind} containers, not linux ones",
            "Switch it to Linux containers.",
        )
    if fault is not None:
        yield _failed(fault)
        return
    version, machine = (words(info.get(key), 80) for key in ("ServerVersion", "Architecture"))
    cpus, memory = number(info.get("NCPU")) or "?", number(info.get("MemTotal"))
    yield Step(
        Part.ENGINE.value,
        True,
        f"Docker Engine {version} on {machine}, {cpus} CPUs, {memory / 2**30:.1f} GiB of memory",
    )
    yield _clock(words(info.get("SystemTime"), 60), middle_ns)
    times_ms = list[float]()
    for _ in range(_PINGS):
        before_ns = clock.monotonic_ns()
        if (silent := await way.check()) is not None:
            yield Step(ROUND_TRIP, False, silent.sentence, silent.hint)
            return
        times_ms.append((clock.monotonic_ns() - before_ns) / 1e6)
    yield Step(ROUND_TRIP, True, f"a call takes {statistics.median(times_ms):.1f} ms")


def _clock(system_time: str, now_ns: int) -> Step:
    try:
        skew_s = (parse_rfc3339(system_time) - now_ns) / SECOND
    except ValueError:
        return Step(CLOCK, True, "it does not tell its time")
    if abs(skew_s) < SKEW_SHOWN_S:
        return Step(CLOCK, True, f"its clock agrees with ours ({abs(skew_s):.1f} s)")
    side = "ahead of" if skew_s > 0 else "behind"
    return Step(
        CLOCK,
        True,
        f"its clock is {abs(skew_s):.0f} s {side} ours",
        "Time stamps of its logs are its own. Set both clocks by a time server (timedatectl set-ntp true).",
    )


def _until(fault: Fault | None, parts: tuple[Part, ...], sentences: Mapping[Part, str]) -> Iterator[Step]:
    """Yield the parts that were passed, and the one at fault where it is among them or came before all of them."""
    order = list(Part)
    for part in parts:
        if fault is not None and order.index(fault.part) <= order.index(part):
            yield _failed(fault)
            return
        yield Step(part.value, True, sentences[part])
    # What lies between these parts and the next ones, and has no step of its own here.
    if fault is not None and fault.part is not Part.ENGINE:
        yield _failed(fault)


def _failed(fault: Fault) -> Step:
    return Step(fault.part.value, False, fault.sentence, fault.hint)


async def _fault_of(attempt: Awaitable[str | None]) -> Fault | None:
    fault, _ = await _result_of(attempt)
    return fault


async def _result_of(attempt: Awaitable[str | None]) -> tuple[Fault | None, str]:
    """Wait for an attempt; return why it has failed, or what it returned."""
    try:
        return None, await attempt or ""
    except WayClosed as closed:
        return closed.fault, ""
