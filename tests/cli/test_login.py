"""Log in to a node of ours from a shell, at a real identity provider, and lose that login again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.services.node import ServedNode, start_node
from tests.services.oidc import IdentityProvider, confirm

TIMEOUT_S = 60
PROGRAM = [sys.executable, "-m", "bacalhau_jupyter"]
PAGE = re.compile(r"(http://127\.0\.0\.1:\d+/device\?user_code=[\w-]+)")
Shell = Callable[..., subprocess.CompletedProcess[str]]


def environment(node: ServedNode, home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    own = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": str(node.port), "COLUMNS": "200"}
    return {**kept, **own, "BACALHAU_DIR": str(home / "client"), "HOME": str(home)}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, identity_provider: IdentityProvider
) -> Iterator[ServedNode]:
    started = start_node(
        tmp_path_factory.mktemp("login") / "repo",
        *identity_provider.options(),
        "-c",
        "API.TrustLocalUser=false",
    )
    yield started
    started.stop()


@pytest.fixture
def shell(served: ServedNode, tmp_path: Path) -> Shell:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(served, tmp_path),
            cwd=tmp_path,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run


def log_in(node: ServedNode, home: Path, person: str, *, refuse: bool = False) -> tuple[int, str]:
    """Run the login and confirm it in a browser; return the exit status and what was printed."""
    with subprocess.Popen(
        [*PROGRAM, "auth", "sso", "login"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(node, home),
    ) as process:
        assert process.stdout is not None
        printed = ""
        while not (page := PAGE.search(printed)):
            line = process.stdout.readline()
            assert line, printed
            printed += line
        confirm(page[1], person, refuse=refuse)
        printed += process.stdout.read()
        return process.wait(TIMEOUT_S), printed


def test_a_login_lasts_until_the_log_out(shell, served, tmp_path) -> None:
    refused = shell("job", "list")
    assert refused.returncode == 1
    assert "bacalhau-jupyter auth login" in refused.stderr
    status, printed = log_in(served, tmp_path, "ada")
    assert status == 0
    assert "To login, please:\n  1. Open this URL in your browser: " in printed
    assert "Waiting for authentication with Test OP... (press Ctrl+C to cancel)" in printed
    assert "Successfully authenticated with Test OP!" in printed
    assert shell("job", "list").returncode == 0
    assert shell("node", "list").returncode == 0
    shown = shell("auth", "sso", "token", "-d").stdout
    assert '"sub": "ada"' in shown
    token = shell("auth", "sso", "token").stdout.strip()
    tokens = json.loads((tmp_path / "client" / "jwt-tokens.json").read_text())
    assert tokens == {served.url: token}
    assert token not in printed
    assert "Successfully logged out" in shell("auth", "sso", "logout", "-f").stdout
    assert shell("job", "list").returncode == 1
    assert shell("--profile", f"127_0_0_1_{served.port}", "job", "list").returncode == 1
    assert shell("auth", "sso", "token").stdout == "No authentication token found\n"


def test_who_may_only_read_is_told_what_is_missing(shell, served, tmp_path) -> None:
    assert log_in(served, tmp_path, "ron")[0] == 0
    assert shell("job", "list").returncode == 0
    refused = shell("docker", "run", "busybox", "true")
    assert refused.returncode == 1
    assert "Error: user 'ron' does not have the required capability 'write:job'" in refused.stderr


def test_a_login_that_the_person_refuses_leaves_nothing(shell, served, tmp_path) -> None:
    status, printed = log_in(served, tmp_path, "ada", refuse=True)
    assert status == 1
    assert "Error: unable to finish SSO login flow: access_denied" in printed
    assert not list((tmp_path / "client").glob("*.json"))


def test_a_token_that_is_no_longer_valid_leads_to_the_login_and_on(served, tmp_path) -> None:
    client = tmp_path / "client"
    tokens = client / "jwt-tokens.json"
    client.mkdir()
    tokens.write_text(json.dumps({served.url: "e30.e30.AAAA"}))
    terminal = pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], "job", "list"],
        env=environment(served, tmp_path),
        encoding="utf-8",
        timeout=TIMEOUT_S,
    )
    try:
        # A terminal gives a line in pieces: with what follows the address, all of it is there.
        terminal.expect(PAGE.pattern + r"\s")
        confirm(terminal.match[1], "ada")
        terminal.expect("Successfully authenticated with Test OP!")
        terminal.expect("CREATED")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert terminal.exitstatus == 0
    assert json.loads(tokens.read_text())[served.url] != "e30.e30.AAAA"
