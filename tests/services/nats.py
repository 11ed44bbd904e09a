"""NATS servers on loopback ports, and links to them that can be cut and held.

The program is found as the product finds it. A server of here knows a token only, as that of an official orchestrator.
"""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.server.program import find_program
from tests.services.common import ServiceUnavailableError, end_process, wait_until
from tests.services.cuttable import CuttableLink
from tests.services.fixtures import service_or_skip
from tests.services.ports import free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


class PlainNatsServer:
    """A running server that lets in who has the token; `close` ends it by its pid.

    Parameters
    ----------
    directory
        Where its files go; the caller removes it.
    program
        The program; the product's where none is named.
    settings
        Further settings of its configuration file, by their names there.
    """

    def __init__(
        self, directory: Path, program: Path | None = None, settings: dict[str, object] | None = None
    ) -> None:
        self.token = secrets.token_hex(32)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._program = program or nats_program()
        self._log = directory / "nats-server.log"
        self._file = directory / "nats-server.conf"
        self._file.touch(mode=0o600)
        plain: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "max_payload": 8 << 20,
            # Clients of a busy machine take their time.
            "authorization": {"token": self.token, "timeout": 60},
        }
        full = plain | (settings or {})
        tls = full.get("tls")
        self._begins_with_tls = isinstance(tls, dict) and tls.get("handshake_first") is True
        self._file.write_text(json.dumps(full))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it again, at the same port and with the same token; harmless when it runs.

        Raises
        ------
        ServiceUnavailableError
            It does not accept connections.
        """
        if self._process is not None and self._process.poll() is None:
            return
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [str(self._program), "-c", str(self._file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: process.poll() is not None or self._accepts(), timeout_s=START_TIMEOUT_S)
        if process.poll() is not None or not self._accepts():
            self.stop()
            raise ServiceUnavailableError(f"nats-server does not start: {self.log().strip()[-500:]}")

    def stop(self) -> None:
        """End it as an operator does; its clients lose their connections."""
        if self._process is not None:
            self.resume()
            end_process(self._process, timeout_s=STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Take it down without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Hold it: connections stay, nothing passes."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """Return what it printed."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """End it; harmless when called twice."""
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=4) as connection:
            return self._begins_with_tls or connection.recv(5) == b"INFO "
        return False


def nats_program() -> Path:
    """Return the path of nats-server.

    Raises
    ------
    ServiceUnavailableError
        There is none.
    """
    try:
        return find_program()
    except ConfigurationError as error:
        raise ServiceUnavailableError(f"{error.message} ({error.hint})") from None


@pytest.fixture(scope="session")
def nats_server_program() -> Path:
    """The program nats-server."""
    return service_or_skip(nats_program)


@pytest.fixture(scope="module")
def nats_server(
    nats_server_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlainNatsServer]:
    """A NATS server that the tests of a module share: who stops it, starts it again."""
    running = service_or_skip(lambda: PlainNatsServer(tmp_path_factory.mktemp("nats"), nats_server_program))
    yield running
    running.close()


@pytest.fixture
def own_nats_server(nats_server_program: Path, tmp_path: Path) -> Iterator[PlainNatsServer]:
    """A NATS server of the test's own."""
    directory = tmp_path / "nats-server"
    directory.mkdir()
    running = service_or_skip(lambda: PlainNatsServer(directory, nats_server_program))
    yield running
    running.close()


@pytest.fixture
def cuttable_link(nats_server: PlainNatsServer) -> Iterator[CuttableLink]:
    """A way to `nats_server` that the test can cut, hold and restore."""
    with CuttableLink(nats_server.port) as link:
        yield link
