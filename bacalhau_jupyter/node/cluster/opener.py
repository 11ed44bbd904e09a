"""Opens a link as planned: a NATS server of our own or somebody else's, and the orchestrator's connection to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.node.cluster.opened import OpenedLink
from bacalhau_jupyter.node.cluster.plan import LinkPlan, split_host
from bacalhau_jupyter.tls.names import names_of_host
from bacalhau_jupyter.tls.own_ca import OwnAuthority
from bacalhau_jupyter.tls.pairs import require_cryptography
from bacalhau_jupyter.transport.base import LinkState
from bacalhau_jupyter.transport.nats.orchestrator import NatsOrchestratorEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.server.door.identities import Identities
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from bacalhau_jupyter.transport.server.settings import NatsServerSettings

log = logging.getLogger(__name__)

SERVER_DIR = "nats"
_LEAF = "link.pem"
_RENEWAL_S = 6 * 3600.0
_RENEWING = "renewing the certificate of the link between nodes"


@dataclass
class _AtOurs:
    """A link over a server of our own (`opened.OpenedLink`)."""

    server: NatsServer
    end: NatsOrchestratorEnd
    ca_file: Path | None
    renewing: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def state(self) -> LinkState:
        return self.end.state if self.server.state.is_up else self.server.state

    async def close(self) -> None:
        if self.renewing is not None:
            self.renewing.cancel()
            await asyncio.wait([self.renewing])
        await self.end.close()
        await self.server.stop()


@dataclass
class _AtTheirs:
    """A link over a server that somebody else runs (`opened.OpenedLink`)."""

    end: NatsOrchestratorEnd
    ca_file: Path | None
    port: int = field(default=0, init=False)

    @property
    def state(self) -> LinkState:
        return self.end.state

    async def close(self) -> None:
        await self.end.close()


class LinkOpener:
    """Opens links (`opened.Opener`).

    Parameters
    ----------
    node_id
        The orchestrator's own.
    repo
        Holds the server's files, and the node's authority.
    identities
        Which secret is a node's own.
    has_near
        Whether a node ID belongs to this process.
    clock
        Dates states and certificates.
    problems
        Where a certificate that can't be renewed is shown.
    """

    def __init__(
        self,
        node_id: str,
        repo: Repo,
        identities: Identities,
        has_near: Callable[[str], bool],
        *,
        clock: Clock,
        problems: Problems,
    ) -> None:
        self._node_id = node_id
        self._repo = repo
        self._identities = identities
        self._has_near = has_near
        self._clock = clock
        self._problems = problems

    async def __call__(self, plan: LinkPlan) -> OpenedLink:
        """Open a link.

        Raises
        ------
        BacalhauError
            It can't be opened; nothing of it is left running.
        """
        if plan.outside:
            theirs = NatsSettings(
                servers=(plan.outside,), name=self._node_id, token=plan.token, ca_file=plan.authority
            )
            return _AtTheirs(NatsOrchestratorEnd(theirs, self._clock), plan.authority)
        authority = await self._own_authority(plan)
        pair = None if authority is None else await asyncio.to_thread(authority.pair)
        settings = NatsServerSettings(
            directory=self._repo.orchestrator_dir / SERVER_DIR,
            server_name=self._node_id,
            host=plan.host.strip("[]"),
            port=plan.port,
            advertise=plan.advertise,
            token=plan.token,
            max_payload=plan.max_payload,
            cert_file=plan.certificate if pair is None else pair.certificate,
            key_file=plan.key if pair is None else pair.key,
            tls_timeout_s=plan.handshake_s,
            behind_tls_proxy=plan.behind_proxy,
        )
        await asyncio.to_thread(self._repo.directory, self._repo.orchestrator_dir)
        server = await self._started(settings, may_move=plan.may_move)
        ca_file = plan.authority if authority is None else authority.ca_file
        opened = _AtOurs(server, self._end(server), ca_file)
        if authority is not None:
            opened.renewing = self._renewing(authority)
        return opened

    async def _started(self, settings: NatsServerSettings, *, may_move: bool) -> NatsServer:
        server = self._server(settings)
        try:
            await server.start()
        except Conflict:
            if not (may_move and settings.port):
                raise
            log.info("port %d is in use: the link between nodes takes another one", settings.port)
            server = self._server(replace(settings, port=0))
            await server.start()
        return server

    def _server(self, settings: NatsServerSettings) -> NatsServer:
        return NatsServer(settings, self._identities, is_reserved=self._has_near, clock=self._clock)

    def _end(self, server: NatsServer) -> NatsOrchestratorEnd:
        access = server.access
        settings = NatsSettings(
            servers=(access.url,),
            name=self._node_id,
            user=access.user,
            password=access.password,
            inbox_prefix=access.inbox_prefix,
            tls_context=access.tls,
        )
        return NatsOrchestratorEnd(settings, self._clock, cutter=server.cut, is_here=server.is_here)

    async def _own_authority(self, plan: LinkPlan) -> OwnAuthority | None:
        if not plan.encrypts:
            return None
        require_cryptography()
        host, _, _ = split_host(plan.advertise)
        names = await asyncio.to_thread(names_of_host, tuple(filter(None, (plan.host, host.strip("[]")))))
        return OwnAuthority(self._repo.tls_dir, names, self._node_id, self._clock, leaf_name=_LEAF)

    def _renewing(self, authority: OwnAuthority) -> asyncio.Task[None]:
        async def renew() -> None:
            while True:
                # The server looks at the file by itself.
                await asyncio.sleep(_RENEWAL_S)
                await asyncio.to_thread(authority.pair)

        return asyncio.create_task(self._problems.keep(_RENEWING, renew), name=_RENEWING)
