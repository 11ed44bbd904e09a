"""An image registry on a loopback port, with its storage in a temporary directory."""

from __future__ import annotations

import http.client
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.common import ServiceUnavailableError, end_process, wait_until
from tests.services.docker_engine import client
from tests.services.ports import free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
USER, PASSWORD = "ali", "open sesame"
# bcrypt of that password, the only form that the registry takes
_HASH = "$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW"


@dataclass(frozen=True)
class Pushed:
    """What a push left in the registry.

    Attributes
    ----------
    tagged
        ``host:port/name:tag``.
    digest
        ``sha256:…`` of the manifest.
    pinned
        ``host:port/name@sha256:…``.
    """

    tagged: str
    digest: str
    pinned: str


class Registry:
    """A running `docker-registry`; `close` ends it by its pid.

    Parameters
    ----------
    directory
        Where configuration, log and storage go; the caller removes it.
    engine_url
        The Docker Engine that images are pushed from.
    private
        Whether only `USER` with `PASSWORD` may push and pull.
    """

    def __init__(self, directory: Path, engine_url: str, *, private: bool = False) -> None:
        binary = shutil.which("docker-registry") or shutil.which("registry")
        if binary is None:
            raise ServiceUnavailableError("`docker-registry` is not installed")
        self._engine_url = engine_url
        self._private = private
        self.address = f"127.0.0.1:{free_port()}"
        config = directory / "registry.yml"
        config.write_text(
            "version: 0.1\n"
            "log: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: '{directory / 'storage'}'}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}'}}\n"
            + (f"auth: {{htpasswd: {{realm: tests, path: '{directory / 'users'}'}}}}\n" if private else "")
        )
        (directory / "users").write_text(f"{USER}:{_HASH}\n")
        log_path = directory / "registry.log"
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        started = wait_until(
            lambda: self._process.poll() is not None or self._answers(), timeout_s=START_TIMEOUT_S
        )
        if not started or self._process.poll() is not None:
            self.close()
            words = log_path.read_text(errors="replace").strip().splitlines()
            raise ServiceUnavailableError(f"the registry does not start: {words[-1] if words else 'no log'}")

    def push(self, image: str, name: str = "") -> Pushed:
        """Push the engine's local `image` and take the added tag off again.

        Parameters
        ----------
        image
            What the engine calls it, for example ``busybox:latest``.
        name
            ``repository:tag`` in the registry; the last part of `image` by default.

        Raises
        ------
        ServiceUnavailableError
            The engine reported an error.
        """
        repository, _, tag = (name or image.rpartition("/")[2]).partition(":")
        repository, tag = f"{self.address}/{repository}", tag or "latest"
        engine: Any = client(self._engine_url)
        try:
            engine.images.get(image).tag(repository, tag)
            digest = ""
            login = {"username": USER, "password": PASSWORD} if self._private else {}
            for event in engine.api.push(repository, tag=tag, stream=True, decode=True, auth_config=login):
                if "error" in event:
                    raise ServiceUnavailableError(f"pushing {image} failed: {event['error']}")
                digest = event.get("aux", {}).get("Digest") or digest
            engine.images.remove(f"{repository}:{tag}", noprune=True)
        finally:
            engine.close()
        return Pushed(f"{repository}:{tag}", digest, f"{repository}@{digest}")

    def close(self) -> None:
        """End the process; bounded, and harmless when called twice."""
        end_process(self._process, timeout_s=STOP_TIMEOUT_S)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.address, timeout=2)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == (401 if self._private else 200)
        except OSError:
            return False
        finally:
            connection.close()
