"""The way to a host through ssh: one process that stays connected, and the engine's socket forwarded through it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.link.asking import Asker, NotAnEngine
from bacalhau_jupyter.engines.docker.link.fault import Fault, Part, WayClosed, refused, unreachable
from bacalhau_jupyter.engines.docker.link.pulse import watch_engine
from bacalhau_jupyter.engines.docker.link.ssh import command, probe
from bacalhau_jupyter.engines.docker.link.ssh.bridge import Bridge
from bacalhau_jupyter.engines.docker.link.ssh.diagnosis import diagnose
from bacalhau_jupyter.engines.docker.link.ssh.known_hosts import ask_ssh, ssh_program
from bacalhau_jupyter.engines.docker.link.ssh.master import Master
from bacalhau_jupyter.engines.docker.link.ssh.places import Places
from bacalhau_jupyter.engines.docker.link.ssh.resolved import Resolved
from bacalhau_jupyter.engines.docker.link.ssh.words import Host, ended, explain, last_words, no_answer
from bacalhau_jupyter.engines.docker.link.target import DIAL_STDIO, SshTarget
from bacalhau_jupyter.lib.programs.calls import call
from bacalhau_jupyter.lib.programs.tied import tied
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, NotImplementedHere
from bacalhau_jupyter.models.text import readable

WAY = "ssh"
WAY_AROUND = "ssh, through docker system dial-stdio"
LOGIN_TIMEOUT_S = 60.0
"""Seconds for connecting and logging in, over however many jumps."""
COMMAND_TIMEOUT_S = 20.0
SCRIPTS = 4
"""Scripts at a time: a server lets one connection have ten sessions, as a rule."""
_SSH_ENDED = 255


class SshWay:
    """One attempt; see `keeper.Way`.

    Attributes
    ----------
    host
        What ssh makes of the target, once it was asked.
    socket
        The engine's socket on the host, once it is known.
    """

    def __init__(
        self,
        name: str,
        target: SshTarget,
        places: Places,
        *,
        known_hosts: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._name, self._target, self._places = name, target, places
        self._known_hosts = known_hosts
        self._env = os.environ if env is None else env
        self._scripts = asyncio.Semaphore(SCRIPTS)
        self._asker = Asker(Endpoint(f"unix://{places.socket}", f"host {name}", shown=f"host {name}"))
        self._master: Master | None = None
        self._bridge: Bridge | None = None
        self._through: command.Through | None = None
        self.host = Host(name, Resolved(target.host, target.user, target.port or 22), target)
        self.socket = ""

    async def open(self) -> str:
        await self.connect()
        return await self.reach_engine()

    async def connect(self) -> None:
        """Log in.

        Raises
        ------
        WayClosed
            That was not possible.
        """
        try:
            program = ssh_program(self._env)
            await self._end_stale(program)
            await asyncio.to_thread(self._places.prepare)
            facts = await ask_ssh(self._target, self._env)
            self.host = Host(self._name, facts, self._target)
            self._through = command.Through(program, self._places)
            words = command.master(program, self._target, self._places, facts, self._known_hosts)
            self._master = master = await Master.start(words, self._env)
            async with asyncio.timeout(LOGIN_TIMEOUT_S):
                if await master.up():
                    return
                await master.ended()
        except TimeoutError:
            raise WayClosed(no_answer(self.host)) from None
        except (BacalhauError, OSError) as error:
            hint = error.hint if isinstance(error, BacalhauError) else ""
            raise WayClosed(refused(Part.PROGRAM, f"ssh can't be used here: {error}", hint)) from error
        raise WayClosed(await diagnose(master.complaints, self.host, self._target, self._env))

    async def reach_engine(self) -> str:
        """Find the engine's socket, and let it appear here.

        Raises
        ------
        WayClosed
            There is none, or none that can be used.
        """
        answer: probe.Answer | None = None
        try:
            answer = probe.answer(await self.run(probe.script(self._target.socket), COMMAND_TIMEOUT_S))
        except NotImplementedHere:
            # No shell: the socket is tried without looking.
            self.socket = self._target.socket or probe.USUAL
        except NetworkFailure as error:
            raise WayClosed(unreachable(Part.SERVER, error.message, error.hint)) from error
        else:
            if fault := answer.fault(self.host, self._target.socket):
                raise WayClosed(fault)
            self.socket = answer.usable[0]
        if self._target.through != DIAL_STDIO and await self._forward():
            return WAY
        if answer is None:
            raise WayClosed(self._locked_in())
        await self._build_bridge(answer)
        return WAY_AROUND

    async def lost(self) -> Fault:
        assert self._master is not None, "it was opened"
        over = asyncio.create_task(self._master.ended())
        try:
            return await watch_engine(self._asker, over, self.check) or ended(
                self._master.complaints, self.host
            )
        finally:
            over.cancel()
            await asyncio.gather(over, return_exceptions=True)

    async def check(self) -> Fault | None:
        try:
            await self._asker.ping()
        except (OSError, NotAnEngine) as error:
            return self.no_engine(error)
        return None

    async def info(self) -> dict[str, Any]:
        """Return what the engine tells of itself."""
        return await self._asker.info()

    async def run(self, script: str, timeout_s: float) -> str:
        if self._through is None:
            raise NetworkFailure(f"{self._name} is not reached yet", retryable=True)
        # Everything that a login shell prints by itself stands before the mark or behind the second one.
        mark = secrets.token_hex(8)
        words = self._through.run(f"sh -c 'echo {mark}; sh -s; echo; echo {mark}'")
        try:
            async with asyncio.timeout(timeout_s), self._scripts:
                done = await call(words, self._env, timeout_s=timeout_s, stdin=script.encode())
        except TimeoutError:
            raise NetworkFailure(
                f"{self._name} has not answered within {timeout_s:g} s", retryable=True
            ) from None
        except OSError as error:
            raise NetworkFailure(f"ssh can't be used here: {error}", retryable=True) from error
        _, begin, rest = done.stdout.partition(f"{mark}\n")
        printed, close, _ = rest.rpartition(f"\n{mark}")
        if begin and close:
            return printed
        reason = last_words(done.stderr) or last_words(done.stdout)
        if done.status == _SSH_ENDED or begin:
            raise NetworkFailure(f"{self._name} does not answer: {reason}", retryable=True)
        raise NotImplementedHere(
            f"{self._name} runs no commands for {self.host.resolved.user or 'us'}{reason and f': {reason}'}"
        )

    async def close(self) -> None:
        if self._bridge is not None:
            await self._bridge.close()
        if self._master is not None:
            await self._master.stop()
        await asyncio.to_thread(self._sweep)

    def no_engine(self, error: BaseException) -> Fault:
        """Return the fault of a way that is open, to an engine that does not answer."""
        words = readable(str(error))[:200] or "it is silent"
        if isinstance(error, NotAnEngine):
            return refused(
                Part.ENGINE,
                f"what listens at {self.socket} on {self._name} is no Docker Engine: {words}",
                "Name the engine's socket: ssh://HOST/path/to/docker.sock.",
            )
        return unreachable(
            Part.ENGINE,
            f"the Docker Engine on {self._name} does not answer",
            f"Look at it there: systemctl status docker. It is tried again ({words}).",
            # The server passed the connection on, and nobody took it. One that hangs has let nothing end.
            is_engine_off=isinstance(error, ConnectionResetError),
        )

    async def _end_stale(self, program: str) -> None:
        """End what a killed process has left connected, where its end could not end it."""
        if await asyncio.to_thread(self._places.control.exists):
            with contextlib.suppress(OSError, TimeoutError):
                await call(
                    command.Through(program, self._places).stop(), self._env, timeout_s=COMMAND_TIMEOUT_S
                )

    async def _forward(self) -> bool:
        """Let the socket appear here; False where the server does not pass on connections to it."""
        assert self._through is not None, "it is connected"
        try:
            done = await call(self._through.forward(self.socket), self._env, timeout_s=COMMAND_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            raise WayClosed(no_answer(self.host)) from error
        if done.status != 0:
            raise WayClosed(explain(done.stderr, self.host))
        try:
            await self._asker.ping()
        except NotAnEngine as error:
            raise WayClosed(self.no_engine(error)) from error
        except TimeoutError as error:
            raise WayClosed(self.no_engine(error)) from error
        except OSError:
            return False
        return True

    async def _build_bridge(self, answer: probe.Answer) -> None:
        if not answer.has_docker:
            raise WayClosed(
                unreachable(
                    Part.SOCKET,
                    f"the ssh server of {self._name} does not pass on connections to {self.socket}, "
                    "and there is no program `docker` to go through",
                    "Allow it there (AllowStreamLocalForwarding yes in sshd_config), or install the docker command.",
                )
            )
        assert self._through is not None, "it is connected"
        program, facts = ssh_program(self._env), self.host.resolved
        self._bridge = Bridge(
            self._places.socket,
            self.socket,
            through=self._through.run,
            # The others end with the process that they go through.
            direct=lambda remote: tied(
                command.direct(program, self._target, facts, self._known_hosts, remote)
            ),
            env=self._env,
        )
        try:
            await self._bridge.start()
            await self._asker.ping(COMMAND_TIMEOUT_S)
        except (OSError, NotAnEngine) as error:
            complaint = self._bridge.complaint
            raise WayClosed(self.no_engine(NetworkFailure(complaint) if complaint else error)) from error

    def _locked_in(self) -> Fault:
        return refused(
            Part.SOCKET,
            f"{self._name} lets {self.host.resolved.user or 'us'} in, but neither runs commands "
            f"nor passes on connections to {self.socket}",
            "Allow one of them there: a login shell, or AllowStreamLocalForwarding yes in sshd_config.",
        )

    def _sweep(self) -> None:
        with contextlib.suppress(OSError):
            self._places.sweep()
