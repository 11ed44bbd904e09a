from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.link.keeper import Link
from bacalhau_jupyter.engines.docker.link.ssh import SshLink
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.plugins.link import HostStatus
from tests.services.far_host import FarHost
from tests.services.far_users import Way

LIMIT_S = 90.0


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A directory with a path short enough for sockets; what lies in it at the end is a fault."""
    directory = Path(tempfile.mkdtemp(prefix="bj-"))
    yield directory
    left = list(directory.rglob("*"))
    shutil.rmtree(directory)
    assert left == []


@dataclass
class Watched:
    """A link, and all that it has told."""

    link: Link
    statuses: list[HostStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link.watch(self.statuses.append)

    async def comes_to(self, *states: HostState, since: int = 0) -> HostStatus:
        """Wait until the link has told one of some states; ``since`` leaves out what it told before."""
        changed = asyncio.Event()
        end = self.link.watch(lambda status: changed.set())
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    for status in self.statuses[since:]:
                        if status.state in states:
                            return status
                    changed.clear()
                    await changed.wait()
        finally:
            end()


@dataclass
class Hosts:
    """Makes links to the far machine."""

    far_host: FarHost
    directory: Path
    runtime_dir: Path
    links: list[Link] = field(default_factory=list)

    known_hosts: Path | None = None

    def link(
        self, way: Way | None = None, target: SshTarget | None = None, env: dict[str, str] | None = None
    ) -> Watched:
        """Return a link that nobody has started; without a target, over a configuration with ``way``."""
        link = SshLink(
            "gpu1",
            target or self.target(way or Way()),
            runtime_dir=self.runtime_dir,
            clock=SystemClock(),
            known_hosts=self.known_hosts,
            env=env,
        )
        self.links.append(link)
        return Watched(link)

    async def ready(self, way: Way | None = None, target: SshTarget | None = None) -> Watched:
        """Return a link that is ready; earlier ones are closed, since they have the same places."""
        await self.close()
        watched = self.link(way, target)
        await watched.link.start()
        status = await watched.comes_to(HostState.READY, HostState.REFUSED, HostState.UNREACHABLE)
        assert status.state is HostState.READY, f"{status}\n{self.far_host.log()[-1500:]}"
        return watched

    async def problem(
        self, way: Way | None = None, target: SshTarget | None = None, env: dict[str, str] | None = None
    ) -> HostStatus:
        """Return what is told of a way that can't be used; earlier links are closed."""
        await self.close()
        watched = self.link(way, target, env)
        await watched.link.start()
        return await watched.comes_to(HostState.READY, HostState.REFUSED, HostState.UNREACHABLE)

    async def close(self) -> None:
        """Close all links."""
        for link in self.links:
            await link.close()

    def target(self, way: Way) -> SshTarget:
        """Return the alias gpu1 of a configuration that says so."""
        return SshTarget("gpu1", config=self.config(gpu1=way))

    def config(self, **ways: Way) -> Path:
        return self.far_host.users.config(self.directory / "ssh_config", **ways)


@pytest.fixture
async def hosts(no_leaks: None, far_host: FarHost, tmp_path: Path, runtime_dir: Path) -> AsyncIterator[Hosts]:
    """Links to the far machine; all of them are closed at the end, and nothing may be left."""
    made = Hosts(far_host, tmp_path, runtime_dir)
    yield made
    await made.close()
