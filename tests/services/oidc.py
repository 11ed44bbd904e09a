"""A real identity provider of our own: the npm package oidc-provider on a loopback port, and a person's browser.

The package is installed once and kept in the cache directory.
"""

from __future__ import annotations

import html
import http.cookiejar
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.common import (
    ServiceUnavailableError,
    cache_dir,
    end_process,
    one_process_at_a_time,
    run,
    wait_until,
)
from tests.services.fixtures import service_or_skip
from tests.services.ports import free_port

VERSION = "9.13.3"
INSTALL_TIMEOUT_S = 300.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
PAGES = 8
AUDIENCE = "https://bacalhau.test/api"
PEOPLE = {"ada": ["*"], "ron": ["read:*"], "nil": []}
"""Who can log in (with any password), and the claim ``permissions`` of their tokens."""


def modules() -> Path:
    """Return the directory in which the package is installed.

    Raises
    ------
    ServiceUnavailableError
        Node.js or npm is missing, or the installation failed.
    """
    path = cache_dir() / f"oidc-provider-{VERSION}"
    with one_process_at_a_time("oidc-provider"):
        if (path / "node_modules" / "oidc-provider" / "package.json").exists():
            return path
        npm = _program("npm")
        shutil.rmtree(path, ignore_errors=True)
        draft = path.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(draft)]
        run([*command, f"oidc-provider@{VERSION}"], timeout_s=INSTALL_TIMEOUT_S, env=_environment())
        draft.rename(path)
    return path


def _environment() -> dict[str, str]:
    """Return ours with the programs of this Python's environment first: `./run test` puts a Node.js there."""
    here = str(Path(sys.executable).parent)
    return os.environ | {"PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)])}


def _program(name: str) -> str:
    """Return the path of a program of Node.js; raises ServiceUnavailableError where there is none."""
    path = shutil.which(name, path=_environment()["PATH"])
    if path is None:
        raise ServiceUnavailableError(f"oidc-provider can't run: `{name}` is not installed")
    return path


class IdentityProvider:
    """A running provider; `close` ends it by its pid.

    Parameters
    ----------
    directory
        Where its log goes.
    ttl_s
        How long tokens are valid.
    """

    def __init__(self, directory: Path, *, ttl_s: int = 600) -> None:
        installed, node = modules(), _program("node")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {
            "modules": str(installed),
            "port": self.port,
            "people": PEOPLE,
            "audience": AUDIENCE,
            "ttl": ttl_s,
        }
        script = Path(__file__).with_name("oidc.mjs")
        log_path = directory / "oidc.log"
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [node, str(script), json.dumps(settings)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: self._process.poll() is not None or self._answers(), timeout_s=START_TIMEOUT_S)
        if self._process.poll() is not None or not self._answers():
            self.close()
            words = log_path.read_text(errors="replace").strip().splitlines()
            raise ServiceUnavailableError(f"oidc-provider does not start: {words[-1] if words else 'no log'}")

    def section(self, **changes: Any) -> dict[str, Any]:
        """Return what a node needs below ``API.Auth.Oauth2``."""
        return {
            "ProviderID": "test",
            "ProviderName": "Test OP",
            "TokenEndpoint": f"{self.url}/token",
            "JWKSUri": f"{self.url}/jwks",
            "Issuer": self.url,
            "DeviceClientID": "bacalhau-device",
            "Audience": AUDIENCE,
            "Scopes": ["openid", "profile", "api"],
            "DeviceAuthorizationEndpoint": f"{self.url}/device/auth",
            "PollingInterval": 1,
        } | changes

    def options(self) -> list[str]:
        """Return the section as options of ``serve``, ours or the official one."""
        return [
            word
            for name, value in self.section().items()
            for text in [",".join(value) if isinstance(value, list) else value]
            for word in ("-c", f"API.Auth.Oauth2.{name}={text}")
        ]

    def close(self) -> None:
        """End the process."""
        end_process(self._process, timeout_s=STOP_TIMEOUT_S)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


def confirm(url: str, person: str, *, refuse: bool = False) -> str:
    """Do what a person does in a browser: open a page that knows the code, log in, confirm (or refuse).

    Returns what the last page says.
    """
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
    page, here = _read(browser, url, None)
    fields: dict[str, str] = {}
    for _ in range(PAGES):
        form = re.search(r"<form.*?</form>", page, re.S)
        if form is None or "abort" in fields:
            return " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.S).split())
        action = re.search(r'action="([^"]*)"', form[0])
        fields = dict(_fields(form[0]))
        if "login" in fields or 'name="login"' in form[0]:
            fields |= {"login": person, "password": "any"}
        elif refuse and "op.deviceConfirmForm" in page:
            fields["abort"] = "yes"
        target = urllib.parse.urljoin(here, html.unescape(action[1])) if action else here
        page, here = _read(browser, target, urllib.parse.urlencode(fields).encode())
    raise AssertionError(f"the provider asks for more than {PAGES} pages: {page[:500]}")


def _fields(form: str) -> Iterator[tuple[str, str]]:
    for tag in re.findall(r"<input[^>]*>", form):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if "name" in attributes:
            yield html.unescape(attributes["name"]), html.unescape(attributes.get("value", ""))


def _read(browser: urllib.request.OpenerDirector, url: str, data: bytes | None) -> tuple[str, str]:
    try:
        with browser.open(url, data, timeout=30) as answer:
            return answer.read().decode(), answer.url
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode(), url


@pytest.fixture(scope="session")
def identity_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    """A provider whose tokens last for ten minutes."""
    running = service_or_skip(lambda: IdentityProvider(tmp_path_factory.mktemp("oidc")))
    yield running
    running.close()
