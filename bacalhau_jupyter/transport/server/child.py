"""One run of the program: started so that it ends with us, watched line by line, and ended within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import deque
from pathlib import Path

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.programs.calls import call, end
from bacalhau_jupyter.lib.programs.tied import tied
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.server.files import RunningServer
from bacalhau_jupyter.transport.server.lines import lines
from bacalhau_jupyter.transport.server.program import VARIABLE
from bacalhau_jupyter.transport.server.quiet import QuietLog

_log = logging.getLogger(__name__)

_STOP_S = 5.0
_KILL_S = 5.0
_CHECK_S = 30.0
_LAST_LINES = 20
_STEP_S = 0.05


class Child:
    """A started program.

    Attributes
    ----------
    pid
        Its process ID.
    ready
        Done with the port once it accepts connections; with 0 if it ends before.
    """

    def __init__(self, process: asyncio.subprocess.Process, clock: Clock) -> None:
        self._process = process
        self._quiet = QuietLog(_log, "the NATS server", clock)
        self.pid = process.pid
        self.ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._troubles: deque[str] = deque(maxlen=_LAST_LINES)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, program: Path, configuration: Path, clock: Clock) -> Child:
        """Start it.

        Raises
        ------
        ConfigurationError
            The program can't be started.
        """
        # In a session of its own: an interrupt at the terminal is for the node, which ends the server in its turn.
        command = tied([str(program), "-c", str(configuration)])
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise _no_start(program, error) from None
        return cls(process, clock)

    @property
    def troubles(self) -> list[str]:
        """Its last lines about errors."""
        return list(self._troubles)

    async def ended(self) -> int:
        """Wait until it has ended and its last line was read; return the exit status."""
        status = await self._process.wait()
        await asyncio.shield(self._reading)
        return status

    def reload(self) -> None:
        """Let it read its configuration and certificates again."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End it: asked first, then killed. It is gone afterwards."""
        await end(self._process, _STOP_S)
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        port = 0
        stream = self._process.stdout
        assert stream is not None, "it was started with a pipe"
        async for line in lines(stream):
            self._quiet.tell(line.log_level, f"nats-server: {line.text}")
            if line.is_trouble:
                self._troubles.append(line.text)
            port = line.port or port
            if line.is_ready and not self.ready.done():
                self.ready.set_result(port)
        if not self.ready.done():
            self.ready.set_result(0)


async def check_configuration(program: Path, configuration: Path) -> None:
    """Let the program read its configuration without starting.

    Raises
    ------
    ConfigurationError
        It does not accept it; the sentence is the program's own. Or it can't be started, or says nothing.
    """
    try:
        done = await call([str(program), "-t", "-c", str(configuration)], os.environ, timeout_s=_CHECK_S)
    except TimeoutError:
        raise ConfigurationError(
            f"{program} did not read its configuration within {_CHECK_S:.0f} s",
            hint=f"{VARIABLE} may name another program",
        ) from None
    except OSError as error:
        raise _no_start(program, error) from None
    if done.status != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        text = said[-1] if said else f"exit status {done.status}"
        text = text.removeprefix("nats-server: ").removeprefix(f"{configuration}:")
        raise ConfigurationError(f"nats-server does not accept its configuration: {text}")


def _no_start(program: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{program} can't be started: {error.strerror}")


async def end_orphan(orphan: RunningServer) -> None:
    """End a server that an earlier run of this node left alive; no other process is touched."""
    for number, limit_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _KILL_S)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(orphan.pid, number)
        if await asyncio.to_thread(_ends, orphan, limit_s):
            return


def _ends(orphan: RunningServer, limit_s: float) -> bool:
    """Wait for the end of a process that is nobody's child here, so that it can only be asked for."""
    deadline = time.monotonic() + limit_s
    while orphan.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_S)
    return True
