"""The link to a host that ssh gets to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.link.keeper import Link
from bacalhau_jupyter.engines.docker.link.ssh.diagnosis import at_home
from bacalhau_jupyter.engines.docker.link.ssh.places import places_for
from bacalhau_jupyter.engines.docker.link.ssh.way import SshWay
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.clock import Clock

_FILES = ("~/.ssh/config", "~/.ssh/known_hosts")


class SshLink(Link):
    """The link to a host that ssh gets to; see `plugins.link.HostLink`.

    Parameters
    ----------
    name
        What people call the host.
    runtime_dir
        A directory of this node alone, for sockets; where its path is too long for one, another is taken.
    known_hosts
        A file of accepted keys beside the person's own (`known_hosts.trust`).
    env
        Variables of ssh.
    """

    def __init__(
        self,
        name: str,
        target: SshTarget,
        *,
        runtime_dir: Path,
        clock: Clock,
        known_hosts: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.target = target
        self._places = places_for(name, runtime_dir)
        variables = os.environ if env is None else env
        places = self._places

        latest = list[SshWay]()

        def make() -> SshWay:
            latest[:] = [SshWay(name, target, places, known_hosts=known_hosts, env=env)]
            return latest[0]

        def watched() -> Iterable[Path]:
            facts = [way.host.resolved for way in latest]
            keys = [file for each in facts for file in (*each.key_files, *each.known_hosts)]
            agent = variables.get("SSH_AUTH_SOCK", "")
            more = [target.config, known_hosts, Path(agent) if agent else None]
            return [*map(at_home, (*_FILES, *keys)), *(file for file in more if file is not None)]

        endpoint = Endpoint(f"unix://{places.socket}", f"host {name}", shown=f"host {name}")
        super().__init__(name, endpoint, make, clock=clock, watched=watched)

    async def close(self) -> None:
        await super().close()
        await asyncio.to_thread(self._places.remove)
