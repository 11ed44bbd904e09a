"""Official clusters: a stand-in that answers what an official node answered once, and the real one.

The stand-in (`ReplayedCluster`) knows what official nodes say of themselves, and keeps what is submitted; it runs
nothing. The real one (`official_cluster`) needs ``BACALHAU_STOCK_BINARY``.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.services.common import wait_until
from tests.services.ports import free_port

BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
NO_BINARY = "BACALHAU_STOCK_BINARY names no official program"
START_TIMEOUT_S = 60.0
_CAPTURES = Path(__file__).parents[1] / "data" / "rest-captures"
_ANSWERS = {
    "/api/v1/agent/alive": "agent_alive",
    "/api/v1/agent/version": "agent_version",
    "/api/v1/agent/node": "agent_node",
    "/api/v1/agent/config": "agent_config",
    "/api/v1/agent/authconfig": "agent_authconfig",
    "/api/v1/auth": "auth_methods",
    "/api/v1/orchestrator/nodes": "nodes_list",
}
_OPEN = ("/api/v1/agent/alive", "/api/v1/agent/version", "/api/v1/agent/authconfig", "/api/v1/auth")
_JOBS = "/api/v1/orchestrator/jobs"


@dataclass
class Received:
    """What came in: each request's verb and path, its credential, and the specs that were submitted."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the requests are recorded on the server."""

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        received = self.server.received
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        credential = self.headers.get("Authorization", "")
        received.requests.append((self.command, path))
        received.credentials.append(credential)
        if self.server.credential and path not in _OPEN and credential != self.server.credential:
            self._send(401, {"Status": 401, "Message": "unauthorized", "Code": "Unauthorized"})
        elif self.command == "GET" and path in _ANSWERS:
            self._send(200, _capture(_ANSWERS[path]))
        elif self.command == "GET" and path == _JOBS:
            self._send(200, {"NextToken": "", "Items": []})
        elif self.command == "PUT" and path == _JOBS:
            received.jobs.append(json.loads(body)["Job"])
            job_id = f"j-00000000-0000-4000-8000-{len(received.jobs):012}"
            self._send(200, {"JobID": job_id, "EvaluationID": "", "Warnings": None})
        else:
            self._send(404, _capture("err_route_404"))

    do_GET = do_PUT = do_POST = do_DELETE = _answer

    def _send(self, status: int, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, credential: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.credential = credential
        self.received = Received()


@dataclass(frozen=True)
class ReplayedCluster:
    """A running stand-in: its address, and what it received."""

    url: str
    received: Received


@contextmanager
def replayed_cluster(
    *, credential: str = "", certificate: tuple[str, str] | None = None
) -> Iterator[ReplayedCluster]:
    """Run a stand-in on a loopback port.

    Parameters
    ----------
    credential
        The ``Authorization`` header that it wants; empty: none.
    certificate
        Files with certificate and key: it speaks HTTPS.
    """
    server = _Server(credential)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if certificate is None else "https"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ReplayedCluster(f"{scheme}://127.0.0.1:{server.server_address[1]}", server.received)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _capture(name: str) -> Any:
    return json.loads((_CAPTURES / f"{name}.json").read_text())


# ---- the real one


def quiet_environment(home: Path) -> dict[str, str]:
    """Return variables with which an official program calls nobody and writes below ``home`` only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BACALHAU_")}
    return {
        **kept,
        "HOME": str(home),
        "BACALHAU_DISABLEANALYTICS": "true",
        "BACALHAU_UPDATECONFIG_INTERVAL": "0",
    }


@contextmanager
def official_cluster(home: Path) -> Iterator[str]:
    """Run an official node that is a whole cluster; yield the URL of its API once its compute side is connected."""
    api, link, results = (free_port() for _ in range(3))
    keys = {
        "API.Host": "127.0.0.1",
        "API.Port": api,
        "Orchestrator.Host": "127.0.0.1",
        "Orchestrator.Port": link,
        "Compute.Orchestrators": f"nats://127.0.0.1:{link}",
        "Publishers.Types.Local.Port": results,
    }
    settings = [word for key, value in keys.items() for word in ("-c", f"{key}={value}")]
    url = f"http://127.0.0.1:{api}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "node.log").open("wb") as log:
        node = subprocess.Popen(
            [BINARY, "serve", "--orchestrator", "--compute", "--name", "stock", *settings],
            env={**quiet_environment(home), "BACALHAU_DIR": str(home / "node")},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        assert wait_until(lambda: _is_connected(url), timeout_s=START_TIMEOUT_S, interval_s=0.2)
        yield url
    finally:
        node.terminate()
        node.wait(timeout=30)


def _is_connected(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/orchestrator/nodes", timeout=4) as answer:
            return re.search(rb'"Connection":\s*"CONNECTED"', answer.read()) is not None
    except OSError:
        return False
