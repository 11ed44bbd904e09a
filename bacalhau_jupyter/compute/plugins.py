"""The engines, sources and publishers of this node, and which of them work here.

All are asked at start. The start waits for what asks this machine alone, and not for a service that is slow to answer;
what may work later (a Docker Engine that is not running yet) is asked again and again, in the background. An engine on
another machine works while its link is ready, which may end and come back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from bacalhau_jupyter.compute.linked import link_of, watch_link
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.plugins.contract import Availability
from bacalhau_jupyter.plugins.engine import DeviceEngine, Engine, SelfReliantEngine
from bacalhau_jupyter.plugins.link import HostLink
from bacalhau_jupyter.plugins.publisher import KeepingPublisher, Publisher
from bacalhau_jupyter.plugins.source import KeepsPackages, Packages, Source

_log = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""Seconds that the start waits for the answers of services."""
RETRY_S = (5.0, 60.0)
"""First and longest delay, in seconds, before what is missing is asked again."""
_REASONS_SHOWN = 3


class Plugins:
    """Plug-ins by wire type, looked up without regard to case.

    Parameters
    ----------
    engines, sources, publishers
        Instances; the keys of the mappings are the names to publish.
    problems
        Engines that could not even be loaded: type → one sentence.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        sources: Mapping[str, Source],
        publishers: Mapping[str, Publisher],
        problems: Mapping[str, str] | None = None,
    ) -> None:
        self._problems = {name.lower(): problem for name, problem in (problems or {}).items()}
        self._engines = {name.lower(): engine for name, engine in engines.items()}
        self._publishers = {name.lower(): publisher for name, publisher in publishers.items()}
        self._sources: dict[str, Source] = {}
        for name, source in sources.items():
            for kind in (name, *source.types):
                self._sources[kind.lower()] = source
        self._availabilities: dict[int, Availability] = {}
        self._at_start: dict[int, Availability] = {}
        self._asked: dict[int, asyncio.Task[None]] = {}

    def keepers(self) -> list[KeepingPublisher]:
        """Return the publishers that keep results on this node's disk."""
        return [item for item in self._publishers.values() if isinstance(item, KeepingPublisher)]

    def packages(self) -> Packages | None:
        """Return what keeps Python packages on this node's disk; None where no source brings any."""
        sources = self._sources.values()
        return next((item.packages for item in sources if isinstance(item, KeepsPackages)), None)

    async def probe(self, timeout_s: float, patience_s: float = PATIENCE_S) -> None:
        """Ask every plug-in at the same time whether it works here; a plug-in that fails to say does not.

        Parameters
        ----------
        timeout_s
            Seconds that a plug-in has to answer.
        patience_s
            Seconds to wait here for what may ask a service; later answers count when they come (see `watch`).
            What needs none is waited for: it is late on a busy machine only, and jobs may not be refused for that.
        """
        local = []
        for item in self._instances():
            self._availabilities[id(item)] = Availability(
                False, problem="it has not answered yet", may_change=True
            )
            self._asked[id(item)] = asyncio.create_task(self._ask(item, timeout_s), name="probe")
            if isinstance(item, SelfReliantEngine):
                local.append(self._asked[id(item)])
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=patience_s)
        if local:
            await asyncio.wait(local)
        self._at_start = dict(self._availabilities)

    async def answered(self, plugins: Iterable[Engine | Source | Publisher | None]) -> None:
        """Wait until each of these has said for the first time whether it works here, or its time for that is over."""
        asked = {self._asked[id(item)] for item in plugins if id(item) in self._asked}
        if late := [task for task in asked if not task.done()]:
            await asyncio.wait(late)

    async def watch(
        self, timeout_s: float, changed: Callable[[], None], retry_s: tuple[float, float] = RETRY_S
    ) -> None:
        """Wait for late answers, and ask again what may work later; returns when nothing can change any more.

        Parameters
        ----------
        changed
            Called when node info says something else than before.
        retry_s
            First and longest delay in seconds.
        """
        watches: list[Awaitable[None]] = []
        for item in self._instances():
            if (link := link_of(item)) is None:
                watches.append(self._watch(item, timeout_s, changed, retry_s))
            else:
                watches.append(self._watch_far(item, link, timeout_s, changed, retry_s))
        await asyncio.gather(*watches)

    async def close(self, timeout_s: float) -> None:
        """Let every plug-in release what it holds; running tasks stay alive."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        await asyncio.gather(*(_close(item.close, timeout_s) for item in self._instances()))

    def engine(self, kind: str) -> Engine | None:
        """Return the engine of a type, working or not."""
        return self._engines.get(kind.strip().lower())

    def source(self, kind: str) -> Source | None:
        """Return the source of a storage type, working or not."""
        return self._sources.get(kind.strip().lower())

    def publisher(self, kind: str) -> Publisher | None:
        """Return the publisher of a type, working or not."""
        return self._publishers.get(kind.strip().lower())

    def availability(self, plugin: Engine | Source | Publisher | None) -> Availability:
        """Return what the probe found."""
        if plugin is None:
            return Availability(False)
        return self._availabilities.get(id(plugin), Availability(False, problem="it was not probed"))

    def links(self) -> list[HostLink]:
        """Return the ways to other machines on which engines work."""
        links = (link_of(engine) for engine in self._engines.values())
        return list({id(link): link for link in links if link is not None}.values())

    def working_engines(self) -> dict[str, Engine]:
        """Engines that work here, by type."""
        return {kind: item for kind, item in self._engines.items() if self.availability(item).available}

    def names(self) -> tuple[list[str], list[str], list[str]]:
        """Types of engines, sources and publishers that work here, for node info."""
        sources = dict.fromkeys(
            item.types[0].lower() for item in self._sources.values() if self.availability(item).available
        )
        publishers = [kind for kind, item in self._publishers.items() if self.availability(item).available]
        return list(self.working_engines()), list(sources), publishers

    def runtimes(self) -> tuple[dict[str, str], dict[str, str]]:
        """What runs each engine, and why an engine is off."""
        runtimes, problems = {}, dict(self._problems)
        for kind, engine in self._engines.items():
            availability = self.availability(engine)
            if availability.available:
                runtimes[kind] = availability.runtime
            else:
                problems[kind] = availability.problem
        return runtimes, problems

    async def gpu_problems(self, gpus: Sequence[GPU], timeout_s: float) -> dict[str, str]:
        """Say of each engine that works here why it can't give jobs some of these GPUs."""
        problems = {}
        for kind, engine in self.working_engines().items():
            try:
                async with asyncio.timeout(timeout_s):
                    _, reasons = await usable_gpus(engine, gpus)
            except (BacalhauError, TimeoutError) as error:
                # It is asked again when a job wants one.
                _log.info("%s can't say whether jobs can get GPUs: %s", kind, error)
            else:
                if reasons:
                    problems[kind] = first_reasons(reasons)
        return problems

    def objection(self, plugin: Engine | Source | Publisher | None, kind: str, there: Iterable[str]) -> str:
        """Say why a type can't be used here; empty when it can."""
        availability = self.availability(plugin)
        if availability.available:
            return ""
        problem = availability.problem if plugin is not None else self._problems.get(kind.strip().lower(), "")
        if problem:
            return f"this node does not support {kind}: {problem}"
        names = ", ".join(there)
        return (
            f"this node does not support {kind}, only {names}"
            if names
            else f"this node does not support {kind}"
        )

    async def _ask(self, item: Engine | Source | Publisher, timeout_s: float) -> None:
        self._availabilities[id(item)] = await _probe(item.probe, timeout_s)

    async def _watch(
        self,
        item: Engine | Source | Publisher,
        timeout_s: float,
        changed: Callable[[], None],
        retry_s: tuple[float, float],
    ) -> None:
        before = self._at_start.get(id(item))
        if (asked := self._asked.get(id(item))) is not None:
            await asyncio.wait({asked})
        delays = backoff(*retry_s)
        while True:
            availability = self.availability(item)
            if availability != before:
                _log.info("a plug-in changed: %s", availability.runtime or availability.problem or "it works")
                changed()
            if not availability.may_change:
                return
            before = availability
            await asyncio.sleep(next(delays))
            await self._ask(item, timeout_s)

    def _watch_far(
        self,
        item: Engine | Source | Publisher,
        link: HostLink,
        timeout_s: float,
        changed: Callable[[], None],
        retry_s: tuple[float, float],
    ) -> Awaitable[None]:
        def note(availability: Availability) -> None:
            if self.availability(item) != availability:
                _log.info("a plug-in changed: %s", availability.runtime or availability.problem)
                self._availabilities[id(item)] = availability
                changed()

        return watch_link(link, lambda: _probe(item.probe, timeout_s), note, retry_s)

    def _instances(self) -> list[Engine | Source | Publisher]:
        every: list[Engine | Source | Publisher] = [
            *self._engines.values(),
            *self._sources.values(),
            *self._publishers.values(),
        ]
        return list({id(item): item for item in every}.values())


def first_reasons(reasons: Sequence[str]) -> str:
    """Join reasons; of many, the first few and how many more there are."""
    more = len(reasons) - _REASONS_SHOWN
    return "; ".join([*reasons[:_REASONS_SHOWN], *([f"{more} more"] if more > 0 else [])])


async def usable_gpus(engine: Engine | None, gpus: Sequence[GPU]) -> tuple[list[GPU], list[str]]:
    """Return the GPUs that an engine can give to jobs, and why it can't give the others.

    Raises
    ------
    BacalhauError
        The engine can't say.
    """
    if not isinstance(engine, DeviceEngine):
        return list(gpus), []
    usable, reasons = [], []
    for gpu in gpus:
        if problem := await engine.gpu_problem(gpu):
            reasons.append(problem)
        else:
            usable.append(gpu)
    return usable, list(dict.fromkeys(reasons))


async def _probe(probe: Callable[[], Awaitable[Availability]], timeout_s: float) -> Availability:
    try:
        async with asyncio.timeout(timeout_s):
            return await probe()
    except TimeoutError:
        return Availability(False, problem=f"it did not answer within {timeout_s:g}s", may_change=True)
    except BacalhauError as error:
        return Availability(False, problem=error.message)
    except Exception as error:
        _log.exception("a probe failed")
        return Availability(False, problem=f"its probe failed: {error}")


async def _close(close: Callable[[], Awaitable[None]], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await close()
    except TimeoutError:
        _log.warning("a plug-in did not close within %gs", timeout_s)
    except Exception:
        _log.exception("a plug-in failed to close")
