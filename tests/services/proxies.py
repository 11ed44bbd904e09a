"""TLS proxies of the operating system, nginx and HAProxy, with a configuration that the test brings."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.services.common import ServiceUnavailableError, end_process, wait_until

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
KINDS = ("nginx", "haproxy")


class TlsProxy:
    """A running proxy; `close` ends it by its pid.

    Parameters
    ----------
    kind
        ``nginx`` or ``haproxy``.
    directory
        Where its files go; the caller removes it.
    configuration
        For nginx what stands inside ``http { … }``; for HAProxy all of it.
    port
        Where it listens, by that configuration.
    """

    def __init__(self, kind: str, directory: Path, configuration: str, port: int) -> None:
        program = shutil.which(kind, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if program is None:
            raise ServiceUnavailableError(f"{kind} is not installed")
        file = directory / f"{kind}.conf"
        log = directory / f"{kind}.log"
        if kind == "nginx":
            places = "".join(
                f"    {name}_temp_path {directory / name};\n"
                for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            file.write_text(
                f"daemon off;\npid {directory / 'pid'};\nerror_log {log};\nevents {{}}\n"
                f"http {{\n    access_log off;\n{places}{configuration}\n}}\n"
            )
            # As the user who runs it, who is the node's: the case in which the proxy's socket would be trusted.
            command = [
                program,
                "-c",
                str(file),
                "-g",
                "user root;" if os.geteuid() == 0 else "master_process on;",
            ]
        else:
            file.write_text(configuration)
            command = [program, "-db", "-f", str(file)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        started = wait_until(
            lambda: self._process.poll() is not None or _is_open(port), timeout_s=START_TIMEOUT_S
        )
        if not started or self._process.poll() is not None:
            self.close()
            raise AssertionError(f"{kind} does not start: {log.read_text(errors='replace')[-2000:]}")

    def close(self) -> None:
        """End it; bounded, and harmless when called twice."""
        end_process(self._process, timeout_s=STOP_TIMEOUT_S)


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
