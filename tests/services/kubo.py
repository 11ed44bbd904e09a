"""Real IPFS nodes of our own: Kubo on loopback ports, without bootstrap peers, mDNS or any other network.

The binary is the `ipfs` on the path where it has our version, else it is built once from the Go module and kept in the
cache directory. With a swarm key nodes form a private swarm, which others can't join.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.common import ServiceUnavailableError, end_process, run, wait_until
from tests.services.fixtures import service_or_skip
from tests.services.go_build import built
from tests.services.s3 import CuttingProxy

VERSION = "0.43.0"
MODULE = "github.com/ipfs/kubo"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 300.0


def binary() -> Path:
    """Return Kubo's binary, built on first use.

    Raises
    ------
    ServiceUnavailableError
        It is not installed, and Go is not either, or the build failed.
    """
    installed = shutil.which("ipfs")
    if installed and run([installed, "version", "--number"], timeout_s=30).strip() == VERSION:
        return Path(installed)
    return built("ipfs", module=MODULE, version=VERSION, package="cmd/ipfs")


def swarm_key() -> str:
    """Return the text of a fresh swarm key."""
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{secrets.token_hex(32)}\n"


class KuboNode:
    """A running IPFS node; `close` ends it by its pid, `start` starts it again with the same blocks.

    Parameters
    ----------
    directory
        Where its repository goes; the caller removes it.
    key
        Text of a swarm key, for a private swarm.
    """

    def __init__(self, directory: Path, key: str = "") -> None:
        self.repo = directory / "repo"
        self.binary = binary()
        self._log = directory / "ipfs.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._api = "/ip4/127.0.0.1/tcp/0"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("IPFS_")}
        self.env["IPFS_PATH"] = str(self.repo)
        # The profile for tests: loopback, any port, nobody to find and nobody to be found by.
        run([str(self.binary), "init", "--empty-repo", "--profile=test"], timeout_s=60, env=self.env)
        if key:
            file = self.repo / "swarm.key"
            file.touch(0o600)
            file.write_text(key)
            self.env["LIBP2P_FORCE_PNET"] = "1"
        self.start()

    @property
    def pid(self) -> int:
        """Process ID of the node."""
        assert self._process is not None
        return self._process.pid

    @property
    def endpoint(self) -> str:
        """Multiaddress of its RPC API, such as ``/ip4/127.0.0.1/tcp/5001``."""
        return self._api

    @property
    def port(self) -> int:
        """Port of its RPC API."""
        return int(self._api.split("/")[4])

    @property
    def swarm_addresses(self) -> list[str]:
        """Where other nodes of its swarm reach it."""
        addresses: list[str] = json.loads(self.run("id"))["Addresses"]
        return [address for address in addresses if "/tcp/" in address and "/ws" not in address]

    def start(self, *options: str) -> None:
        """Start the process (`options` of ``ipfs daemon``) and wait until its API answers, on the port that it had."""
        config = self.repo / "config"
        settings = json.loads(config.read_text())
        settings["Addresses"]["API"] = self._api
        config.write_text(json.dumps(settings))
        (self.repo / "api").unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [str(self.binary), "daemon", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
            )
        ready = wait_until(lambda: process.poll() is not None or self._ready(), timeout_s=START_TIMEOUT_S)
        if not ready or process.poll() is not None:
            self.close()
            words = self._log.read_text(errors="replace").strip().splitlines()
            raise ServiceUnavailableError(f"Kubo does not start: {words[-1] if words else 'no log'}")
        self._api = (self.repo / "api").read_text().strip()

    def run(self, *arguments: str) -> str:
        """Run an `ipfs` command against this node and return what it printed."""
        return run([str(self.binary), *arguments], timeout_s=COMMAND_TIMEOUT_S, env=self.env)

    def add(self, path: Path, *options: str) -> str:
        """Add a file or directory with the official command; return its CID."""
        return self.run("add", "-r", "-Q", "--hidden", *options, str(path)).strip().splitlines()[-1]

    def pinned(self, cid: str) -> bool:
        """Whether the content is pinned, with all that is below."""
        return cid in self.run("pin", "ls", "--type=recursive", "--quiet").split()

    def kill(self) -> None:
        """End the process at once, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the process; bounded, and harmless when called twice."""
        if self._process is not None:
            end_process(self._process, timeout_s=STOP_TIMEOUT_S)

    def _ready(self) -> bool:
        return (
            "Daemon is ready" in self._log.read_text(errors="replace").rpartition("Initializing")[2]
            and (self.repo / "api").exists()
        )


@contextmanager
def cut(node: KuboNode, *, after: int, cuts: int) -> Iterator[tuple[str, CuttingProxy]]:
    """Put a `CuttingProxy` before a node; gives the multiaddress of the proxy, and the proxy."""
    proxy = CuttingProxy(node.port, after=after, cuts=cuts)
    try:
        yield f"/ip4/127.0.0.1/tcp/{proxy.url.rpartition(':')[2]}", proxy
    finally:
        proxy.close()


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboNode]:
    """An IPFS node that knows no other."""
    running = service_or_skip(lambda: KuboNode(tmp_path_factory.mktemp("kubo")))
    yield running
    running.close()


@pytest.fixture
def own_kubo(tmp_path: Path) -> Iterator[KuboNode]:
    """An IPFS node for one test, which may stop it."""
    directory = tmp_path / "kubo"
    directory.mkdir()
    running = service_or_skip(lambda: KuboNode(directory))
    yield running
    running.close()


@pytest.fixture(scope="session")
def private_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KuboNode, str]]:
    """A node of a private swarm, and the text of the swarm's key."""
    key = swarm_key()
    running = service_or_skip(lambda: KuboNode(tmp_path_factory.mktemp("private-kubo"), key))
    yield running, key
    running.close()
