"""A real ACME server of our own: Pebble, with the DNS server of its makers, both on loopback ports.

Every name leads to 127.0.0.1. Pebble validates on `Pebble.tls_port` and `Pebble.http_port`, where a test listens.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.services.common import (
    ServiceUnavailableError,
    accepts_connections,
    end_process,
    wait_until,
)
from tests.services.fixtures import service_or_skip
from tests.services.go_build import built, built_here
from tests.services.ports import free_port

VERSION = "2.10.3"
MODULE = "github.com/letsencrypt/pebble/v2"
OFFICIAL = Path(__file__).with_name("autocert") / "main.go"
OFFICIAL_VERSION = "0.54.0"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
NONCE_REJECTIONS = 20
"""Of a hundred good nonces, how many it refuses."""
_QUESTION = b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"
"""In the words of DNS: which address has the name a?"""
LIFETIMES_S = {"default": 90 * 86400, "short": 120}
"""Its profiles."""


class Pebble:
    """A running server; `close` ends it by its pid.

    Parameters
    ----------
    directory
        Where its files go; the caller removes it.
    variables
        Settings that it takes from the environment, such as ``PEBBLE_AUTHZREUSE``.
    pause_s
        What it says in ``Retry-After`` while it works.
    """

    def __init__(self, directory: Path, variables: dict[str, str] | None = None, *, pause_s: int = 1) -> None:
        programs = [
            built(name, module=MODULE, version=VERSION, package=f"cmd/{name}")
            for name in ("pebble", "pebble-challtestsrv")
        ]
        api, management, self.tls_port, self.http_port, dns, dns_management = (free_port() for _ in range(6))
        self._listeners, self._names = (api, management), ("127.0.0.1", dns)
        self.directory_url = f"https://127.0.0.1:{api}/dir"
        self._root_url = f"https://127.0.0.1:{management}/roots/0"
        authority = trustme.CA()
        self.ca_file = directory / "pebble-ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        own = authority.issue_cert("localhost", "127.0.0.1")
        own.private_key_pem.write_to_path(directory / "server.key")
        own.cert_chain_pems[0].write_to_path(directory / "server.crt")
        config = {
            "listenAddress": f"127.0.0.1:{api}",
            "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(directory / "server.crt"),
            "privateKey": str(directory / "server.key"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            "retryAfter": {"authz": pause_s, "order": pause_s},
            "keyAlgorithm": "ecdsa",
            "profiles": {
                name: {"description": name, "validityPeriod": period} for name, period in LIFETIMES_S.items()
            },
        }
        file = directory / "pebble.json"
        file.write_text(json.dumps({"pebble": config}))
        names = f"127.0.0.1:{dns}"
        unused = [option for name in ("http01", "https01", "tlsalpn01", "doh") for option in (f"-{name}", "")]
        resolver = [str(programs[1]), "-dnsserver", names, "-management", f"127.0.0.1:{dns_management}"]
        resolver += ["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", *unused]
        environment = os.environ | {
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(NONCE_REJECTIONS),
            "PEBBLE_AUTHZREUSE": "0",
            **(variables or {}),
        }
        self._log = directory / "pebble.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        with self._log.open("wb") as log:
            for command in (resolver, [str(programs[0]), "-config", str(file), "-dnsserver", names]):
                self._processes.append(
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
                    )
                )
        # One may be up before the others, and a name that is not found makes an order invalid.
        started = wait_until(
            lambda: self._ended() or (self._answers() and self._finds_names()), timeout_s=START_TIMEOUT_S
        )
        if not started or self._ended():
            self.close()
            words = self.log().strip().splitlines()
            raise ServiceUnavailableError(f"Pebble does not start: {words[-1] if words else 'no log'}")

    @property
    def root_file(self) -> Path:
        """The authority of the certificates that it issues."""
        import urllib.request

        path = self.ca_file.with_name("root.pem")
        context = ssl.create_default_context(cafile=self.ca_file)
        with urllib.request.urlopen(self._root_url, timeout=60, context=context) as answer:
            path.write_bytes(answer.read())
        return path

    def log(self) -> str:
        """Return what it printed."""
        return self._log.read_text(errors="replace")

    def settings(self) -> dict[str, str]:
        """Return the config keys with which a node uses this server."""
        return {"API.TLS.AutoCertDirectory": self.directory_url, "API.TLS.AutoCertCAFile": str(self.ca_file)}

    def close(self) -> None:
        """End both processes; bounded, and harmless when called twice."""
        for process in self._processes:
            end_process(process, timeout_s=STOP_TIMEOUT_S)

    def _ended(self) -> bool:
        return any(process.poll() is not None for process in self._processes)

    def _answers(self) -> bool:
        return all(accepts_connections("127.0.0.1", port) for port in self._listeners)

    def _finds_names(self) -> bool:
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.settimeout(1)
            try:
                asking.connect(self._names)
                asking.send(_QUESTION)
                return bool(asking.recv(512))
            except OSError:
                return False


class OfficialFolder:
    """Serves a certificate from a folder by the library of official nodes."""

    def __init__(self) -> None:
        self._program = built_here(OFFICIAL, module="golang.org/x/crypto", version=OFFICIAL_VERSION)

    def certificate(self, folder: Path, host: str, pebble: Pebble | None = None) -> int:
        """Return the number of the certificate for a host; without a server it has to be in the folder already."""
        command = [str(self._program), "-folder", str(folder), "-host", host]
        if pebble is not None:
            command += ["-directory", pebble.directory_url, "-authority", str(pebble.ca_file)]
            command += ["-listen", f"127.0.0.1:{pebble.tls_port}"]
        done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(done.stdout, 16)


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """An ACME server that refuses every fifth good nonce."""
    running = service_or_skip(lambda: Pebble(tmp_path_factory.mktemp("pebble")))
    yield running
    running.close()
