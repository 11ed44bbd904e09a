"""How this node logs in at image registries: what ``docker login`` left, and its credential helpers. It blocks."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.engines.registries.configuration import Configuration

HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"
HELPER_TIMEOUT_S = 20.0
"""Seconds that a helper may take; some ask a person who is not there."""


class Credentials:
    """Finds the login for a registry; without one that works, a pull is anonymous.

    Parameters
    ----------
    env
        Where ``DOCKER_USERNAME`` and ``DOCKER_PASSWORD`` (for Docker Hub) may be, and ``PATH`` for the helpers.
    """

    def __init__(self, configuration: Configuration, env: Mapping[str, str]) -> None:
        self._configuration = configuration
        self._env = env

    def header(self, registry: str) -> str:
        """Return the value of ``X-Registry-Auth`` for a registry's host; an empty login where there is none."""
        return base64.urlsafe_b64encode(json.dumps(self.login(registry)).encode()).decode()

    def login(self, registry: str) -> dict[str, str]:
        """Return the login in the engine's words (``username``, ``password``, ``identitytoken``); empty for none."""
        user, password = self._env.get("DOCKER_USERNAME"), self._env.get("DOCKER_PASSWORD")
        if registry == HUB and user and password:
            return {"username": user, "password": password}
        return self._from_helper(registry) or self._from_file(registry)

    def _from_helper(self, registry: str) -> dict[str, str]:
        server = _HUB_KEY if registry == HUB else registry
        helpers = self._configuration.section("credHelpers")
        chosen = helpers.get(server) or helpers.get(registry) or self._configuration.text("credsStore")
        if not chosen:
            return {}
        program = f"docker-credential-{chosen}"
        path = shutil.which(program, path=self._env.get("PATH")) if isinstance(chosen, str) else None
        if path is None:
            self._configuration.warn(f"the credential helper {program} is not installed")
            return {}
        try:
            done = subprocess.run(
                [path, "get"],
                input=server.encode(),
                capture_output=True,
                timeout=HELPER_TIMEOUT_S,
                env=dict(self._env),
                check=False,
            )
            answer = json.loads(done.stdout) if done.returncode == 0 else None
        except (OSError, ValueError, RecursionError, subprocess.TimeoutExpired) as error:
            self._configuration.warn(f"the credential helper {program} failed: {type(error).__name__}")
            return {}
        if answer is None:
            # "Not found" is the usual answer; other answers are reported, without their text (it may quote a secret).
            if b"not found" not in (done.stdout + done.stderr).lower():
                self._configuration.warn(
                    f"the credential helper {program} failed with exit code {done.returncode}"
                )
            return {}
        return self._from_answer(answer, program, server)

    def _from_answer(self, answer: Any, program: str, server: str) -> dict[str, str]:
        user, secret = (
            (answer.get("Username"), answer.get("Secret")) if isinstance(answer, dict) else (None, None)
        )
        if not isinstance(user, str) or not isinstance(secret, str):
            self._configuration.warn(f"the credential helper {program} gave no login")
            return {}
        if not user and not secret:
            return {}
        if user == _TOKEN_USER:
            return {"identitytoken": secret, "serveraddress": server}
        return {"username": user, "password": secret, "serveraddress": server}

    def _from_file(self, registry: str) -> dict[str, str]:
        entries = self._configuration.section("auths")
        exact = [key for key in entries if key == registry]
        for key in exact + [key for key in entries if key not in exact and _host(key) == registry]:
            if login := self._from_entry(key, entries[key]):
                return login
        return {}

    def _from_entry(self, key: str, entry: Any) -> dict[str, str]:
        if not isinstance(entry, dict):
            self._configuration.warn(f'the entry for "{key}" in "auths" is not an object and is ignored')
            return {}
        login = {
            name: entry[name]
            for name in ("username", "password", "identitytoken", "registrytoken")
            if isinstance(entry.get(name), str) and entry[name]
        }
        auth = entry.get("auth")
        if auth:
            try:
                user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
            except (ValueError, TypeError):
                user, colon, password = "", "", ""
            if colon:
                login |= {"username": user, "password": password.strip("\0")}
            else:
                self._configuration.warn(
                    f'"auth" of the entry for "{key}" in "auths" is malformed and is ignored'
                )
        return login | {"serveraddress": key} if login else {}


def _host(key: str) -> str:
    """Return the registry that a key of ``auths`` means: older ones are URLs."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return HUB if host in _HUB_NAMES else host
