"""The engines, sources and publishers of this node, and which of them work here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from bacalhau_jupyter.engines.base import Availability, Engine
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.publishers.base import Publisher
from bacalhau_jupyter.sources.base import Source

_log = logging.getLogger(__name__)


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
        self._found: dict[int, Availability] = {}

    async def probe(self, timeout: float) -> None:
        """Ask every plug-in at the same time whether it works here; a plug-in that fails to say does not."""
        instances = self._instances()
        found = await asyncio.gather(*(_probe(item.probe, timeout) for item in instances))
        self._found = {id(item): answer for item, answer in zip(instances, found, strict=True)}

    async def close(self, timeout: float) -> None:
        """Let every plug-in release what it holds; running tasks stay alive."""
        await asyncio.gather(*(_close(item.close, timeout) for item in self._instances()))

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
        return self._found.get(id(plugin), Availability(False, problem="it was not probed"))

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
            found = self.availability(engine)
            if found.available:
                runtimes[kind] = found.runtime
            else:
                problems[kind] = found.problem
        return runtimes, problems

    def objection(self, plugin: Engine | Source | Publisher | None, kind: str, there: Iterable[str]) -> str:
        """Say why a type can't be used here; empty when it can."""
        found = self.availability(plugin)
        if found.available:
            return ""
        problem = found.problem if plugin is not None else self._problems.get(kind.strip().lower(), "")
        if problem:
            return f"this node does not support {kind}: {problem}"
        names = ", ".join(there)
        return (
            f"this node does not support {kind}, only {names}"
            if names
            else f"this node does not support {kind}"
        )

    def _instances(self) -> list[Engine | Source | Publisher]:
        every: list[Engine | Source | Publisher] = [
            *self._engines.values(), *self._sources.values(), *self._publishers.values(),
        ]  # fmt: skip
        return list({id(item): item for item in every}.values())


async def _probe(probe: Callable[[], Awaitable[Availability]], timeout: float) -> Availability:
    try:
        async with asyncio.timeout(timeout):
            return await probe()
    except TimeoutError:
        return Availability(False, problem=f"it did not answer within {timeout:g}s")
    except BacalhauError as error:
        return Availability(False, problem=error.message)
    except Exception as error:
        _log.exception("a probe failed")
        return Availability(False, problem=f"its probe failed: {error}")


async def _close(close: Callable[[], Awaitable[None]], timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await close()
    except TimeoutError:
        _log.warning("a plug-in did not close within %gs", timeout)
    except Exception:
        _log.exception("a plug-in failed to close")
