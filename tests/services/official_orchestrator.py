"""The unmodified official program as an orchestrator; ``BACALHAU_STOCK_BINARY`` names it (it is not part of CI)."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.services.common import end_process, wait_until
from tests.services.official import BINARY, NO_BINARY, quiet_environment
from tests.services.ports import free_port

TIMEOUT_S = 90.0

needs_official = pytest.mark.skipif(not BINARY, reason=NO_BINARY)


class OfficialOrchestrator:
    """An official node that places jobs and runs none; `close` ends it.

    Parameters
    ----------
    directory
        Its home; the caller removes it.
    settings
        Further config keys.
    starts
        Whether it is started now.
    """

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, starts: bool = True
    ) -> None:
        self.token = secrets.token_hex(16)
        self.api_port, self.link_port = free_port(), free_port()
        self.link = f"nats://127.0.0.1:{self.link_port}"
        self._directory = directory
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        if starts:
            self.start()

    def start(self) -> None:
        """Start it, again with what it kept."""
        keys = {
            "API.Host": "127.0.0.1",
            "API.Port": str(self.api_port),
            "Orchestrator.Host": "127.0.0.1",
            "Orchestrator.Port": str(self.link_port),
            # Its own client dials this, too.
            "Compute.Orchestrators": self.link,
            **self._settings,
        }
        secret = {
            "BACALHAU_ORCHESTRATOR_AUTH_TOKEN": self.token,
            "BACALHAU_COMPUTE_AUTH_TOKEN": self.token,
        }
        words = [word for key, value in keys.items() for word in ("-c", f"{key}={value}")]
        with (self._directory / "official.log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "serve", "--orchestrator", "--name", "official", *words],
                env={
                    **quiet_environment(self._directory),
                    **secret,
                    "BACALHAU_DIR": str(self._directory / "node"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        assert wait_until(self._answers, timeout_s=TIMEOUT_S), self.log()[-2000:]

    def kill(self) -> None:
        """Take it down without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)

    def pause(self) -> None:
        """Hold it: connections stay, nothing is answered."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it; harmless when called twice."""
        if self._process is not None:
            self.resume()
            end_process(self._process, timeout_s=30.0)

    def log(self) -> str:
        """Return what it printed."""
        return (self._directory / "official.log").read_text(errors="replace")

    def cli(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the official program as a client of this node."""
        return subprocess.run(
            [BINARY, *words],
            env=self._client_env(),
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self._directory,
            timeout=TIMEOUT_S,
            check=False,
        )

    def follow(self, job: str) -> subprocess.Popen[str]:
        """Let the official program follow the output of a job; the caller ends it."""
        return subprocess.Popen(
            [BINARY, "job", "logs", "--follow", job],
            env=self._client_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._directory,
        )

    def _client_env(self) -> dict[str, str]:
        (self._directory / "client").mkdir(exist_ok=True)
        return {
            **quiet_environment(self._directory),
            "BACALHAU_DIR": str(self._directory / "client"),
            "BACALHAU_API_HOST": "127.0.0.1",
            "BACALHAU_API_PORT": str(self.api_port),
        }

    def ask(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> dict[str, Any]:
        """Ask its API below ``/api/v1/orchestrator/``."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}/api/v1/orchestrator/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method or ("GET" if body is None else "PUT"),
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            decoded: dict[str, Any] = json.load(answer)
        return decoded

    def submit(self, job: dict[str, Any]) -> str:
        """Submit a job; return its ID."""
        return str(self.ask("jobs", {"Job": job})["JobID"])

    def state(self, job: str) -> str:
        """Return the state of a job."""
        return str(self.ask(f"jobs/{job}")["Job"]["State"]["StateType"])

    def executions(self, job: str) -> list[dict[str, Any]]:
        """Return the executions of a job."""
        return list(self.ask(f"jobs/{job}/executions")["Items"] or [])

    def wait_for(self, job: str, *states: str) -> str:
        """Wait until a job is in one of some states; return that state."""
        reached = wait_until(lambda: self.state(job) in states, timeout_s=TIMEOUT_S)
        assert reached, (self.state(job), self.cli("job", "describe", job).stdout)
        return self.state(job)

    def node(self, node_id: str) -> dict[str, Any]:
        """Return what it knows of a node; empty where it does not know it."""
        for each in self.ask("nodes")["Nodes"] or []:
            if each["Info"]["NodeID"] == node_id:
                return dict(each)
        return {}

    def wait_connected(self, node_id: str, connection: str = "CONNECTED") -> None:
        """Wait until it counts a node as connected, or as something else."""

        def is_so() -> bool:
            known = self.node(node_id)
            return bool(known) and known["ConnectionState"]["Status"] == connection

        assert wait_until(is_so, timeout_s=TIMEOUT_S), (self.node(node_id), self.log()[-2000:])

    def _answers(self) -> bool:
        with (
            suppress(OSError),
            urllib.request.urlopen(
                f"http://127.0.0.1:{self.api_port}/api/v1/agent/alive", timeout=4
            ) as answer,
        ):
            return bool(answer.status == 200)
        return False


@pytest.fixture
def official_orchestrator(tmp_path: Path) -> Iterator[OfficialOrchestrator]:
    """An official orchestrator with a token, and without compute nodes."""
    if not BINARY:
        pytest.skip(NO_BINARY)
    directory = tmp_path / "official"
    directory.mkdir()
    orchestrator = OfficialOrchestrator(directory)
    try:
        yield orchestrator
    finally:
        orchestrator.close()
