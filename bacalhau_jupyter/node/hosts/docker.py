"""The real ways to Docker hosts: links over ssh, sockets and TLS, and the docker engine that works through them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from bacalhau_jupyter.engines.docker.endpoints import Endpoint, from_context
from bacalhau_jupyter.engines.docker.engine import DockerEngine
from bacalhau_jupyter.engines.docker.gate import DockerLink
from bacalhau_jupyter.engines.docker.link.plain import PlainLink
from bacalhau_jupyter.engines.docker.link.ssh import known_hosts
from bacalhau_jupyter.engines.docker.link.ssh.diagnosis import at_home
from bacalhau_jupyter.engines.docker.link.ssh.link import SshLink
from bacalhau_jupyter.engines.docker.link.step import examine
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.engines.registries.configuration import Configuration
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ConfigurationError
from bacalhau_jupyter.models.records.host_orders import HostStep
from bacalhau_jupyter.models.records.hosts import DockerContext, SshAlias
from bacalhau_jupyter.node.hosts.aliases import read_aliases
from bacalhau_jupyter.node.hosts.contexts import read_contexts
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.node.hosts.questions import DockerQuestions
from bacalhau_jupyter.node.hosts.written.entries import HostEntry, Target, target_of
from bacalhau_jupyter.plugins.engine import Engine
from bacalhau_jupyter.plugins.options import PluginOptions

KNOWN_HOSTS = "known_hosts"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)


class DockerWays:
    """Makes them (`node.hosts.ways.Ways`).

    Parameters
    ----------
    directory
        The repo directory: relative paths of ``hosts.yaml`` begin here, and keys that were accepted lie below it.
    env
        Variables of ssh and Docker.
    """

    def __init__(self, directory: Path, clock: Clock, env: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._env = os.environ if env is None else env
        self._known_hosts = directory / "hosts" / KNOWN_HOSTS
        self._runtime_dir = _runtime_dir(directory, self._env)

    def way(self, entry: HostEntry, node_id: str) -> DockerWay:
        target = self._target(entry)
        link: DockerLink
        if isinstance(target, SshTarget):
            link = SshLink(
                entry.name,
                target,
                runtime_dir=self._runtime_dir,
                clock=self._clock,
                known_hosts=self._known_hosts,
                env=self._env,
            )
        else:
            link = PlainLink(entry.name, target, clock=self._clock)
        questions = DockerQuestions(entry.name, node_id, lambda: link.endpoint, self._clock)
        return DockerWay(link, questions, target.url)

    async def examine(self, entry: HostEntry) -> list[HostStep]:
        try:
            target = await asyncio.to_thread(self._target, entry)
        except BacalhauError as error:
            return [HostStep(name="address", ok=False, sentence=error.message, hint=error.hint)]
        steps = examine(
            entry.name,
            target,
            runtime_dir=self._runtime_dir,
            clock=self._clock,
            known_hosts=self._known_hosts,
            env=self._env,
        )
        return [
            HostStep(name=step.step, ok=step.ok, sentence=step.sentence, hint=step.hint)
            async for step in steps
        ]

    async def trust(self, entry: HostEntry, fingerprint: str) -> None:
        target = self._target(entry)
        if not isinstance(target, SshTarget):
            raise BadRequest("only hosts that ssh gets to show a key", component=COMPONENT)
        if not _FINGERPRINT.fullmatch(fingerprint.strip().rstrip("=")):
            raise BadRequest(
                "that is no fingerprint of a key",
                hint="It is SHA256: and 43 characters; host add without --trust shows the one of the host",
                component=COMPONENT,
            )
        await known_hosts.trust(entry.name, target, fingerprint, self._known_hosts, self._env)

    def contexts(self) -> list[DockerContext]:
        return read_contexts(Configuration(self._env).directory)

    def aliases(self) -> list[SshAlias]:
        # As ssh finds it, whatever $HOME says.
        return read_aliases(at_home("~/.ssh/config"))

    def _target(self, entry: HostEntry) -> Target:
        if not entry.context:
            return entry.target(self._directory)
        try:
            endpoint: Endpoint = from_context(entry.context, Configuration(self._env).directory)
        except ConfigurationError as error:
            # It is the caller who named it: this node itself is well.
            raise BadRequest(
                error.message, hint="`docker context ls` lists them", component=COMPONENT
            ) from error
        return target_of(endpoint.url, entry.ssh, endpoint.tls)


class DockerWay:
    """All that leads to one host (`node.hosts.ways.Way`)."""

    def __init__(self, link: DockerLink, questions: DockerQuestions, address: str) -> None:
        self.link = link
        self.questions = questions
        self.address = address

    def engine(self, options: PluginOptions, devices: Path) -> Engine:
        return DockerEngine(options, devices=devices, link=self.link)


def _runtime_dir(directory: Path, env: Mapping[str, str]) -> Path:
    """Return a directory for sockets that belongs to this repo alone: their paths must be short."""
    runtime = env.get("XDG_RUNTIME_DIR", "")
    name = f"bacalhau-{hashlib.sha256(str(directory).encode()).hexdigest()[:8]}"
    return Path(runtime, name) if runtime.startswith("/") else directory / "hosts" / "run"
