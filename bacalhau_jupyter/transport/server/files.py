"""The server's files in its directory: configuration, the port of the last start, and the process that runs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bacalhau_jupyter.lib.clock import boot_id, process_start
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import IOFailure

_PRIVATE_DIRECTORY = 0o700
_PRIVATE_FILE = 0o600
_LAST_PORT = 65535


@dataclass(frozen=True)
class RunningServer:
    """A server's process, named so that no other one is mistaken for it.

    Attributes
    ----------
    boot_id, start
        The boot of the machine, and when the process started, in ticks since then.
    """

    pid: int
    start: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> RunningServer:
        """Name a process that runs now."""
        return cls(pid, process_start(pid) or 0, boot_id())

    def is_alive(self) -> bool:
        """Whether it runs still. Where the system does not tell when a process started, nothing counts as it."""
        return self.start > 0 and self.boot_id == boot_id() and process_start(self.pid) == self.start


class ServerFiles:
    """The directory; it is made when missing.

    Raises
    ------
    IOFailure
        It can't be made, or what is written into it can't be.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.configuration = directory / "nats-server.conf"
        self._port = directory / "port"
        self._process = directory / "process.json"
        with _explained(directory):
            directory.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            directory.chmod(_PRIVATE_DIRECTORY)

    def write_configuration(self, text: str) -> None:
        """Replace the configuration file: private to this user from its first byte on."""
        self._replace(self.configuration, text)

    def last_port(self) -> int:
        """Return the port of the last start; 0 where there was none."""
        try:
            port = int(read_text(self._port))
        except (OSError, ValueError):
            return 0
        return port if 0 < port <= _LAST_PORT else 0

    def keep_port(self, port: int) -> None:
        """Remember the port, so that nodes find the server there after the next start."""
        if port != self.last_port():
            self._replace(self._port, f"{port}\n")

    def keep_process(self, process: RunningServer) -> None:
        """Remember who runs."""
        self._replace(self._process, json.dumps(asdict(process)))

    def running(self) -> RunningServer | None:
        """Return the server that an earlier run left alive; None where there is none."""
        try:
            plain = json.loads(read_text(self._process))
            process = RunningServer(int(plain["pid"]), int(plain["start"]), str(plain["boot_id"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return process if process.is_alive() else None

    def forget_process(self) -> None:
        """Note that nothing runs; the passwords of its configuration go with it."""
        for path in (self._process, self.configuration):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _replace(self, path: Path, text: str) -> None:
        draft = path.with_name(f"{path.name}.new")
        with _explained(path):
            draft.unlink(missing_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode())
            draft.replace(path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise IOFailure(f"{path}, which the NATS server needs, can't be written: {reason}") from None
