"""A machine elsewhere, to which a link leads: asked by its Docker Engine and, over ssh, by one shell script."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bacalhau_jupyter.compute.host import far_script
from bacalhau_jupyter.compute.host.far_users import taken_by, users_of
from bacalhau_jupyter.compute.host.gpus import MOST_GPUS, NVIDIA, HostGpus, gpus_told
from bacalhau_jupyter.compute.host.machine import MachineFacts, platform_labels
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BacalhauError, NotImplementedHere
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.records.hosts import HostFacts
from bacalhau_jupyter.models.told import mappings, number, words
from bacalhau_jupyter.plugins.link import HostLink, HostStatus

SCRIPT_S = 45.0
EVERY_S = 300.0
"""Seconds after which a machine is asked again."""
BUSY_S = 30.0
"""The same while a program outside of containers uses a GPU there: nothing tells when it ends, and jobs may wait."""
_RETRY_S = 20.0
_GAP_S = 1.0
"""Seconds between the end of somebody's container and the next question."""
_OVERLAP_S = 5.0
"""Seconds that the news may be older than the last look: what ended meanwhile is heard, too."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineAnswer:
    """What a Docker Engine says of its machine.

    Attributes
    ----------
    info
        Its own description (``docker info``).
    containers
        Descriptions of the containers that run.
    asked_ns, answered_ns
        When ``info`` was asked for and came, by this machine's clock.
    free_disk
        Free bytes where its data lies; None where that was not asked.
    """

    info: Mapping[str, Any]
    containers: Sequence[Mapping[str, Any]] = ()
    asked_ns: int = 0
    answered_ns: int = 0
    free_disk: int | None = None


class EngineQuestions(Protocol):
    """Asks the Docker Engine behind a link."""

    async def ask(self, *, disk: bool) -> EngineAnswer:
        """Return what it says; ``disk``: also what is free on its disk, which takes a container.

        Raises
        ------
        BacalhauError
            It does not answer.
        """
        ...

    async def ended(self, names: Collection[str], since_s: float) -> bool:
        """Wait until a container of one of these names ends, from a time of the engine's clock on.

        False where it stops telling.
        """
        ...


class FarMachine:
    """The machine behind a link.

    Parameters
    ----------
    link
        The way to it.
    questions
        Asks its Docker Engine.
    node_id
        The compute node that offers it.
    last_facts
        What was seen of it before.
    keep
        Called with what is seen, which outlives this process; may block.
    gpus
        What a person says of its GPUs; empty: they are looked for.
    """

    def __init__(
        self,
        link: HostLink,
        questions: EngineQuestions,
        node_id: str,
        clock: Clock,
        *,
        last_facts: HostFacts | None = None,
        keep: Callable[[HostFacts], None] = lambda facts: None,
        gpus: Sequence[GPU] = (),
    ) -> None:
        self._link = link
        self._questions = questions
        self._node_id = node_id
        self._clock = clock
        self._keep = keep
        self._gpus_said = list(gpus)
        self.facts = last_facts
        self._asked = asyncio.Event()

    async def look(self) -> MachineFacts:
        """Return what was seen the last time: nobody waits here for a machine that is away."""
        return machine_facts(self.facts)

    async def watch(self, changed: Callable[[MachineFacts], None]) -> None:
        def moved(status: HostStatus) -> None:
            if status.is_ready:
                self._asked.set()

        leave = self._link.watch(moved)
        try:
            while True:
                await self._link.ready()
                self._asked.clear()
                try:
                    facts = await self.ask()
                    pause_s = pause_after(facts)
                    changed(machine_facts(facts))
                except BacalhauError as error:
                    log.info("host %s was not asked what it has: %s", self._link.name, error)
                    pause_s = _RETRY_S
                await self._news(pause_s)
        finally:
            leave()

    async def _news(self, pause_s: float) -> None:
        """Wait until the machine is asked again: later, at somebody's wish, or when others may have freed something."""
        freed = asyncio.create_task(self._freed(), name="waiting for what others free")
        try:
            async with asyncio.timeout(pause_s):
                await self._asked.wait()
        except TimeoutError:
            pass
        finally:
            freed.cancel()
            await asyncio.gather(freed, return_exceptions=True)

    async def _freed(self) -> None:
        """Ask again when a container ends that was seen to hold something; jobs may wait for that."""
        facts = self.facts
        holders = {user.name for user in facts.others if not user.resources.is_zero} if facts else set()
        if facts is None or not holders:
            return
        since_s = self._clock.now_ns() / 1e9 + facts.skew_ms / 1000 - _OVERLAP_S
        if await self._questions.ended(holders, since_s):
            # Many may end one after the other.
            await asyncio.sleep(_GAP_S)
            self._asked.set()

    def again(self) -> None:
        """Ask the machine now."""
        self._asked.set()

    async def ask(self) -> HostFacts:
        """Ask the machine, and keep what it says.

        Raises
        ------
        BacalhauError
            It does not answer.
        """
        answer = await self._script("")
        engine = await self._questions.ask(disk=answer is None)
        if (
            answer is not None
            and (root := words(engine.info.get("DockerRootDir"), 4096) or "/") != "/var/lib/docker"
        ):
            # Its data may lie on another disk than the usual place.
            answer = await self._script(root)
        gpus_there = await self._gpus(engine.info, answer)
        self.facts = facts_of(engine, answer, gpus_there, self._node_id, self._clock.now_ns())
        await asyncio.to_thread(self._keep, self.facts)
        return self.facts

    async def _script(self, root: str) -> far_script.Answer | None:
        """Return what the shell script says; None where the way leads to no shell."""
        mark = f"@{uuid.uuid4().hex}"
        try:
            text = await self._link.run(far_script.script(mark, root or "/var/lib/docker"), SCRIPT_S)
        except NotImplementedHere:
            return None
        answer = far_script.read(text, mark)
        return answer if answer.is_whole else None

    async def _gpus(self, info: Mapping[str, Any], answer: far_script.Answer | None) -> HostGpus:
        if self._gpus_said:
            return HostGpus(self._gpus_said)
        if answer is not None:
            return await gpus_told(answer.ask)
        return gpus_by_engine(info)


def pause_after(facts: HostFacts) -> float:
    """Return after how many seconds a machine is asked again; the end of a container is heard of at once."""
    of_containers = {gpu.key for user in facts.others for gpu in user.resources.gpus}
    is_used_outside = any(gpu.key not in of_containers for gpu in facts.taken.gpus)
    return BUSY_S if is_used_outside else EVERY_S


def machine_facts(facts: HostFacts | None) -> MachineFacts:
    """Return what a compute node offers of a machine; nothing where it has never been seen."""
    if facts is None:
        return MachineFacts()
    labels = {"os_type": facts.os, "os_arch": facts.architecture}
    return MachineFacts(facts.resources, labels, dict(facts.gpu_problems), facts.taken)


def facts_of(
    engine: EngineAnswer, answer: far_script.Answer | None, gpus_there: HostGpus, node_id: str, now_ns: int
) -> HostFacts:
    """Put together what is known of a machine."""
    info = engine.info
    system, machine = ("", "") if answer is None else answer.platform
    labels = platform_labels(
        words(info.get("OSType"), 60) or words(system, 60) or "linux",
        words(info.get("Architecture"), 60) or words(machine, 60),
    )
    memory, free_memory = (0, 0) if answer is None else answer.memory
    gpus = gpus_there.gpus
    files = {} if answer is None else answer.device_files
    others, own = users_of(engine.containers, node_id, gpus, files)
    busy = set() if answer is None else answer.busy_gpus
    disk = engine.free_disk if answer is None else answer.disk
    return HostFacts(
        resources=Resources(
            cpu=float(number(info.get("NCPU"))),
            memory=number(info.get("MemTotal")) or memory,
            disk=disk or 0,
            gpu=len(gpus),
            gpus=list(gpus),
        ),
        taken=taken_by(others, own, busy, gpus),
        others=others,
        machine=words(info.get("Name")),
        os=labels["os_type"],
        architecture=labels["os_arch"],
        engine=words(info.get("ServerVersion"), 80),
        engine_id=words(info.get("ID")),
        load=-1.0 if answer is None else answer.load,
        free_memory=free_memory,
        device_files=files,
        gpu_problems=gpus_there.problems,
        skew_ms=skew_ms(engine),
        round_trip_ms=round((engine.answered_ns - engine.asked_ns) / 1e6, 1),
        seen=rfc3339(now_ns),
    )


def skew_ms(engine: EngineAnswer) -> float:
    """Return how far the engine's clock is ahead, in milliseconds, against the middle of the call."""
    try:
        there = datetime.fromisoformat(_microseconds(words(engine.info.get("SystemTime"), 60))).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    middle = (engine.asked_ns + engine.answered_ns) / 2e9
    return round((there - middle) * 1000, 1) if math.isfinite(there) else 0.0


def gpus_by_engine(info: Mapping[str, Any]) -> HostGpus:
    """Return the GPUs that a Docker Engine itself knows of (28.2 and later), or that it can't tell."""
    names = [words(each.get("Name")) for each in mappings(info.get("DiscoveredDevices"), MOST_GPUS)]
    indices = sorted(
        {
            int(name.rpartition("=")[2])
            for name in names
            if name.startswith("nvidia.com/gpu=") and _is_index(name)
        }
    )
    if indices:
        return HostGpus([GPU(index=index, name="NVIDIA GPU", vendor=NVIDIA) for index in indices])
    runtimes = info.get("Runtimes")
    if isinstance(runtimes, Mapping) and "nvidia" in runtimes:
        reason = "it has a runtime for GPUs, and can't say how many there are: list them in hosts.yaml (gpus)"
        return HostGpus(problems={"docker": reason})
    return HostGpus()


def _is_index(name: str) -> bool:
    number = name.rpartition("=")[2]
    return number.isascii() and number.isdigit() and len(number) < 4


def _microseconds(text: str) -> str:
    """Cut a time of nine digits to the six that Python reads."""
    head, point, tail = text.partition(".")
    zone = tail.lstrip("0123456789")
    digits = tail[: len(tail) - len(zone)]
    return f"{head}.{digits[:6].ljust(6, '0')}{zone}" if point else text
