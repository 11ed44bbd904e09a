"""The NATS server of an orchestrator: started, kept alive, and ended with it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.lib.nearby import bracketed
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, Conflict, ServiceUnavailable
from bacalhau_jupyter.transport.base import LinkState
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.server import certificates
from bacalhau_jupyter.transport.server.child import Child, check_configuration, end_orphan
from bacalhau_jupyter.transport.server.configuration import (
    BOUNCER_USER,
    DOOR_USER,
    NODES_ACCOUNT,
    OWN_USER,
    OwnSecrets,
    configuration,
)
from bacalhau_jupyter.transport.server.door.bouncer import Bouncer
from bacalhau_jupyter.transport.server.door.claims import Signer
from bacalhau_jupyter.transport.server.door.doorkeeper import Doorkeeper
from bacalhau_jupyter.transport.server.door.identities import Identities
from bacalhau_jupyter.transport.server.door.permissions import OWN_INBOX
from bacalhau_jupyter.transport.server.door.responder import Responder
from bacalhau_jupyter.transport.server.files import RunningServer, ServerFiles
from bacalhau_jupyter.transport.server.program import find_program
from bacalhau_jupyter.transport.server.settings import NatsServerSettings
from bacalhau_jupyter.transport.server.starting import start_problem

_log = logging.getLogger(__name__)

_START_S = 30.0
_RETRY_S = (0.1, 10.0)
_CALM_S = 30.0
"""After so long a life, the next start is not delayed more than the first one."""
_CERTIFICATES_S = 30.0


@dataclass(frozen=True)
class OwnAccess:
    """How the orchestrator itself connects.

    Attributes
    ----------
    url
        Where, by the loopback address where the server listens there; no secret is in it.
    user, password
        Of this start of the node only.
    inbox_prefix
        Begins its reply subjects, which no node can read.
    tls
        What it trusts; None without TLS.
    """

    url: str
    user: str
    password: str = field(repr=False)
    inbox_prefix: str
    tls: ssl.SSLContext | None = None


class NatsServer:
    """A supervised nats-server, with our answers to who may connect.

    Parameters
    ----------
    identities
        What is kept of nodes that have a secret of their own.
    is_reserved
        Whether an ID belongs to a node of this process, so that no connection may use it.
    program
        The program; where it is found otherwise.
    check_certificates_s
        How often the files of the certificate are looked at, seconds.
    """

    def __init__(
        self,
        settings: NatsServerSettings,
        identities: Identities,
        *,
        is_reserved: Callable[[str], bool] = lambda node_id: False,
        clock: Clock | None = None,
        program: Path | None = None,
        check_certificates_s: float = _CERTIFICATES_S,
    ) -> None:
        self._settings = settings
        self._identities = identities
        self._doorkeeper = Doorkeeper(settings.token, is_reserved)
        self._clock = clock or SystemClock()
        self._program = program
        self._check_certificates_s = check_certificates_s
        self._port = 0
        self._state = LinkState(False, "The NATS server is not started.", self._clock.now_ns())
        self._secrets = OwnSecrets(*(secrets.token_urlsafe(32) for _ in range(3)))
        self._bouncer = Bouncer(NODES_ACCOUNT, OWN_USER, self._clock)
        self._signer: Signer | None = None
        self._context: ssl.SSLContext | None = None
        self._child: Child | None = None
        self._responder: Responder | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """Where it listens; 0 before the start."""
        return self._port

    @property
    def url(self) -> str:
        """Where we reach it ourselves."""
        return f"nats://{bracketed(self._settings.own_host)}:{self._port}"

    @property
    def access(self) -> OwnAccess:
        """How the orchestrator itself connects; known after the start."""
        return OwnAccess(self.url, OWN_USER, self._secrets.orchestrator, OWN_INBOX, self._context)

    @property
    def state(self) -> LinkState:
        """Whether it runs and lets nodes in."""
        return self._state

    @property
    def pid(self) -> int:
        """The process; 0 while none runs."""
        return self._child.pid if self._child is not None else 0

    async def start(self) -> None:
        """Start it; returns once nodes can connect. From then on it is started again when it ends.

        Raises
        ------
        ConfigurationError
            A setting is wrong, or a program or library is missing.
        Conflict
            Another program uses its port.
        BacalhauError
            It does not start for another reason; nothing is left running.
        """
        if self._tasks:
            return
        self._settings.check()
        self._program = self._program or find_program()
        self._signer = Signer(NODES_ACCOUNT)
        self._context = certificates.own_context(self._settings)
        files = await asyncio.to_thread(ServerFiles, self._settings.directory)
        orphan = await asyncio.to_thread(files.running)
        if orphan is not None:
            _log.warning(
                "a nats-server of an earlier run is still there (process %d) and is ended", orphan.pid
            )
            await end_orphan(orphan)
        # Before the server reads them: what is replaced from now on is noticed.
        mark = await asyncio.to_thread(certificates.mark, self._settings)
        try:
            await self._launch_first(files)
        except BaseException:
            await self._take_down()
            await asyncio.to_thread(files.forget_process)
            raise
        self._tasks = [asyncio.create_task(self._supervise(files))]
        if self._context is not None:
            self._tasks.append(asyncio.create_task(self._watch_certificates(mark)))

    def reload(self) -> None:
        """Let it read its certificate again; a broken one is told in the log, and the one before is used on."""
        try:
            if self._context is not None:
                certificates.trust(self._context, self._settings)
        except ConfigurationError as error:
            _log.warning("%s; the certificate before is used on", error.message)
            return
        if self._child is not None:
            self._child.reload()

    def connections_of(self, node_id: str) -> list[int]:
        """Return the server's numbers of a node's connections."""
        return self._bouncer.connections_of(node_id)

    def is_here(self, node_id: str) -> bool:
        """Whether all connections of a node come from this machine; behind a proxy nobody can tell."""
        return not self._settings.behind_tls_proxy and self._bouncer.is_here(node_id)

    async def cut(self, node_id: str) -> None:
        """End all connections of a node."""
        await self._bouncer.cut(node_id)

    async def stop(self) -> None:
        """End it; nothing of it is left running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        was_started, self._tasks = bool(self._tasks), []
        await self._take_down()
        if was_started:
            files = await asyncio.to_thread(ServerFiles, self._settings.directory)
            await asyncio.to_thread(files.forget_process)
            self._tell(False, "The NATS server was stopped.")

    async def _launch_first(self, files: ServerFiles) -> None:
        """Start it where the settings say; without a port in them at that of the last time, or any free one."""
        port = self._settings.port or await asyncio.to_thread(files.last_port)
        try:
            await self._launch(files, port, checked=False)
        except Conflict:
            if self._settings.port or not port:
                raise
            _log.warning("port %d, where nodes know this orchestrator, is in use: another one is taken", port)
            await self._launch(files, 0)

    async def _launch(self, files: ServerFiles, port: int, *, checked: bool = True) -> None:
        program, signer = self._program, self._signer
        assert program is not None and signer is not None, "known since the start"
        text = configuration(self._settings, port, signer.issuer, self._secrets)
        await asyncio.to_thread(files.write_configuration, text)
        if not checked:
            await check_configuration(program, files.configuration)
        self._child = child = await Child.start(program, files.configuration, self._clock)
        await asyncio.to_thread(files.keep_process, RunningServer.of(child.pid))
        try:
            async with asyncio.timeout(_START_S):
                actual = await asyncio.shield(child.ready)
        except TimeoutError:
            raise ServiceUnavailable(f"nats-server accepts no connections after {_START_S:.0f} s") from None
        if not actual:
            raise start_problem(self._settings.host, port, child.troubles)
        self._port = actual
        await asyncio.to_thread(files.keep_port, actual)
        self._responder = Responder(self._doorkeeper, self._identities, signer, self._clock, self._bouncer)
        # Before anybody is let in.
        await self._bouncer.open(self._own_settings(BOUNCER_USER, self._secrets.bouncer))
        await self._responder.open(self._own_settings(DOOR_USER, self._secrets.door))
        # The server listened before we did: nodes that come back after a crash of it are often earlier.
        await self._bouncer.dismiss_unheard()
        self._tell(True)

    async def _supervise(self, files: ServerFiles) -> None:
        delays = backoff(*_RETRY_S)
        while True:
            begun_ns = self._clock.monotonic_ns()
            if self._child is not None:
                status = await self._child.ended()
                why = f": {self._child.troubles[-1]}" if self._child.troubles else ""
                self._fell(f"The NATS server ended with status {status}{why}.")
            await self._take_down()
            if self._clock.monotonic_ns() - begun_ns > _CALM_S * SECOND:
                delays = backoff(*_RETRY_S)
            await asyncio.sleep(next(delays))
            try:
                await self._launch(files, self._port)
            except Exception as error:
                if not isinstance(error, BacalhauError):
                    # Whatever it is, the cluster has no server unless the next start is tried.
                    _log.exception("the NATS server can't be started again")
                self._fell(error.message if isinstance(error, BacalhauError) else str(error))
                await self._take_down()

    async def _watch_certificates(self, before: certificates.Mark) -> None:
        while True:
            await asyncio.sleep(self._check_certificates_s)
            now = await asyncio.to_thread(certificates.mark, self._settings)
            if now != before:
                before = now
                self.reload()

    def _own_settings(self, user: str, password: str) -> NatsSettings:
        return NatsSettings(
            servers=(self.url,),
            name=user,
            user=user,
            password=password,
            tls_context=self._context,
            tls_first=self._context is not None,
            connect_timeout_s=_START_S,
        )

    async def _take_down(self) -> None:
        if self._responder is not None:
            await self._responder.close()
            await self._bouncer.close()
            self._responder = None
        if self._child is not None:
            await self._child.stop()
            self._child = None

    def _fell(self, reason: str) -> None:
        if self._state.is_up or self._state.reason != reason:
            _log.warning("%s It is started again.", reason)
        self._tell(False, reason)

    def _tell(self, is_up: bool, reason: str = "") -> None:
        is_same = is_up == self._state.is_up
        since_ns = self._state.since_ns if is_same else self._clock.now_ns()
        self._state = LinkState(is_up, reason, since_ns, self.url)
