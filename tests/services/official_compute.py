"""The unmodified official program as a node that runs jobs; ``BACALHAU_STOCK_BINARY`` names it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.services.common import end_process
from tests.services.official import BINARY, quiet_environment
from tests.services.ports import free_port

TIMEOUT_S = 60.0

Guests = Callable[..., "OfficialCompute"]


class OfficialCompute:
    """An official node that runs jobs of an orchestrator elsewhere; `close` ends it.

    Parameters
    ----------
    directory
        Its home; the caller removes it.
    link, token
        Where its orchestrator's NATS server listens, and what opens it.
    name
        Its node ID.
    settings
        Further config keys.
    variables
        Of its process, such as credentials for S3.
    """

    def __init__(
        self,
        directory: Path,
        link: str,
        token: str,
        name: str,
        settings: Mapping[str, object] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._directory = directory
        self._token = token
        self._variables = dict(variables or {})
        self._keys = {
            "API.Host": "127.0.0.1",
            "API.Port": free_port(),
            "Compute.Orchestrators": link,
            "Compute.Heartbeat.Interval": "2s",
            "Publishers.Types.Local.Address": "127.0.0.1",
            "Publishers.Types.Local.Port": free_port(),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start it, again with what it kept."""
        words = [word for key, value in self._keys.items() for word in ("-c", f"{key}={_word(value)}")]
        with (self._directory / "official.log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "serve", "--compute", "--name", self.name, *words],
                env={
                    **quiet_environment(self._directory),
                    **self._variables,
                    "BACALHAU_COMPUTE_AUTH_TOKEN": self._token,
                    "BACALHAU_DIR": str(self._directory / "node"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Take it down without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)

    def close(self) -> None:
        """Ask it to end; harmless when called twice."""
        if self._process is not None:
            end_process(self._process, timeout_s=30.0)

    @property
    def has_ended(self) -> bool:
        """Whether its process is over."""
        return self._process is None or self._process.poll() is not None

    def log(self) -> str:
        """Return what it printed."""
        return (self._directory / "official.log").read_text(errors="replace")


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def guests_of(parent: Path, link: str, token: str) -> Iterator[Guests]:
    """Start nodes of one orchestrator: ``start(name, **settings with __ for dots)``; all are ended at the end."""
    started: list[OfficialCompute] = []

    def start(name: str, variables: Mapping[str, str] | None = None, **settings: object) -> OfficialCompute:
        keys = {key.replace("__", "."): value for key, value in settings.items()}
        started.append(OfficialCompute(parent / name, link, token, name, keys, variables))
        return started[-1]

    try:
        yield start
    finally:
        for node in started:
            node.close()
