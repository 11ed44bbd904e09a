"""Single sign-on across programs: official client and node, and ours, at one real provider.

``BACALHAU_STOCK_BINARY`` names the official program, which is client and node.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.services.asking import settings_in
from tests.services.common import end_process, wait_until
from tests.services.node import start_node
from tests.services.oidc import IdentityProvider, confirm
from tests.services.ports import free_port

BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
pytestmark = pytest.mark.skipif(not BINARY, reason="BACALHAU_STOCK_BINARY names no official program")

TIMEOUT_S = 60
OURS = [sys.executable, "-m", "bacalhau_jupyter"]
QUIET = {"BACALHAU_DISABLEANALYTICS": "true", "BACALHAU_UPDATECONFIG_INTERVAL": "0"}
PAGE = re.compile(r"(http://127\.0\.0\.1:\d+/device\?user_code=[\w-]+)")


def environment(home: Path, port: int) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    address = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": str(port)}
    return {
        **kept,
        **QUIET,
        **address,
        "HOME": str(home),
        "BACALHAU_DIR": str(home / "client"),
        "COLUMNS": "200",
    }


def run(program: list[str], home: Path, port: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *words],
        env=environment(home, port),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def log_in(program: list[str], home: Path, port: int, person: str) -> None:
    terminal = pexpect.spawn(
        program[0],
        [*program[1:], "auth", "sso", "login"],
        env=environment(home, port),
        encoding="utf-8",
        timeout=TIMEOUT_S,
    )
    try:
        terminal.expect(PAGE)
        confirm(terminal.match[1], person)
        terminal.expect("Successfully authenticated with Test OP!")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert terminal.exitstatus == 0


@pytest.fixture(scope="module")
def our_port(tmp_path_factory: pytest.TempPathFactory, identity_provider: IdentityProvider) -> Iterator[int]:
    directory = tmp_path_factory.mktemp("ours") / "repo"
    started = start_node(directory, *identity_provider.options(), "-c", "API.TrustLocalUser=false")
    yield started.port
    started.stop()


def official_node(home: Path, *settings: str) -> tuple[subprocess.Popen[bytes], int]:
    port, link = free_port(), free_port()
    keys = [
        "API.Host=127.0.0.1",
        f"API.Port={port}",
        "Orchestrator.Host=127.0.0.1",
        f"Orchestrator.Port={link}",
    ]
    words = [word for key in keys for word in ("-c", key)]
    home.mkdir(exist_ok=True)
    with (home / "node.log").open("wb") as log:
        process = subprocess.Popen(
            [BINARY, "serve", "--orchestrator", *words, *settings],
            env={**environment(home, port), "BACALHAU_DIR": str(home / "node")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    assert wait_until(answers, timeout_s=TIMEOUT_S), (home / "node.log").read_text()
    return process, port


@pytest.fixture(scope="module")
def their_port(
    tmp_path_factory: pytest.TempPathFactory, identity_provider: IdentityProvider
) -> Iterator[int]:
    home = tmp_path_factory.mktemp("official")
    process, port = official_node(home, *identity_provider.options())
    yield port
    end_process(process, timeout_s=60)


def test_the_official_client_logs_in_to_our_node_and_ours_shares_its_login(our_port, tmp_path) -> None:
    log_in([BINARY], tmp_path, our_port, "ron")
    assert run([BINARY], tmp_path, our_port, "job", "list").returncode == 0
    assert run(OURS, tmp_path, our_port, "job", "list").returncode == 0
    refused = run([BINARY], tmp_path, our_port, "node", "approve", "n-1")
    assert "Request Forbidden" in refused.stdout + refused.stderr
    assert run(OURS, tmp_path, our_port, "auth", "sso", "logout", "-f").returncode == 0
    for program in ([BINARY], OURS):
        assert run(program, tmp_path, our_port, "job", "list").returncode == 1
        assert (
            run(program, tmp_path, our_port, "auth", "sso", "token").stdout
            == "No authentication token found\n"
        )


def test_the_official_client_has_the_words_for_our_node_that_it_has_for_its_own(
    our_port, their_port, tmp_path
) -> None:
    said = []
    for port in (our_port, their_port):
        answer = run([BINARY], tmp_path, port, "auth", "info")
        # Before that, the first command in a directory says that it makes files there.
        said.append(
            (answer.stdout + answer.stderr).partition("Target environment")[2].replace(str(port), "PORT")
        )
    assert said[0] == said[1]
    assert "Provider Name: Test OP" in said[0]


def test_our_client_logs_in_to_an_official_node_and_theirs_shares_its_login(their_port, tmp_path) -> None:
    refused = run(OURS, tmp_path, their_port, "job", "list")
    assert refused.returncode == 1
    assert "bacalhau-jupyter auth login" in refused.stderr
    log_in(OURS, tmp_path, their_port, "ada")
    assert run(OURS, tmp_path, their_port, "job", "list").returncode == 0
    assert run([BINARY], tmp_path, their_port, "job", "list").returncode == 0
    theirs = run([BINARY], tmp_path, their_port, "auth", "sso", "token").stdout
    assert theirs.splitlines()[-1] == run(OURS, tmp_path, their_port, "auth", "sso", "token").stdout.strip()
    profile = f"127_0_0_1_{their_port}"
    assert (tmp_path / "client" / "profiles" / f"{profile}.yaml").stat().st_mode & 0o777 == 0o600
    assert run(OURS, tmp_path, their_port, "auth", "logout").returncode == 0
    assert run([BINARY], tmp_path, their_port, "--profile", profile, "job", "list").returncode == 1


@pytest.fixture(scope="module")
def asking_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An official node that asks for a word, or takes a key pair."""
    home = tmp_path_factory.mktemp("asking")
    process, port = official_node(home, "-c", str(settings_in(home)))
    yield port
    end_process(process, timeout_s=60)


def terminal_of(home: Path, port: int) -> pexpect.spawn:
    return pexpect.spawn(
        OURS[0], [*OURS[1:], "job", "list"], env=environment(home, port), encoding="utf-8", timeout=TIMEOUT_S
    )


def test_our_client_asks_what_an_official_node_asks_for(asking_port, tmp_path) -> None:
    terminal = terminal_of(tmp_path, asking_port)
    try:
        terminal.expect_exact("How would you like to authenticate?")
        terminal.expect_exact("1. anykey")
        terminal.expect_exact("2. word")
        terminal.expect_exact("Choose a number: ")
        terminal.sendline("9")
        terminal.expect_exact("invalid choice: 9")
        terminal.sendline("2")
        terminal.expect_exact("person: ")
        terminal.sendline("ali")
        terminal.expect_exact("word: ")
        terminal.waitnoecho()
        terminal.sendline("open sesame")
        terminal.expect_exact("Successfully authenticated")
        terminal.expect_exact("CREATED")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert terminal.exitstatus == 0
    assert list(json.loads((tmp_path / "client" / "tokens.json").read_text())) == [
        f"http://127.0.0.1:{asking_port}"
    ]
    assert run([BINARY], tmp_path, asking_port, "job", "list").returncode == 0


def test_a_wrong_word_is_said_to_be_refused(asking_port, tmp_path) -> None:
    terminal = terminal_of(tmp_path, asking_port)
    try:
        terminal.expect_exact("Choose a number: ")
        terminal.sendline("2")
        for answer in ("ali", "close sesame"):
            terminal.expect_exact(": ")
            terminal.sendline(answer)
        terminal.expect_exact("Error: login failed: credentials rejected")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert terminal.exitstatus == 1


def test_our_client_answers_an_official_challenge_with_a_key_of_its_own(asking_port, tmp_path) -> None:
    terminal = terminal_of(tmp_path, asking_port)
    try:
        terminal.expect_exact("Choose a number: ")
        terminal.sendline("1")
        terminal.expect_exact("CREATED")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    key = tmp_path / "client" / "user_id.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    # The official client goes on with the same key pair.
    (tmp_path / "client" / "tokens.json").unlink()
    official = pexpect.spawn(
        BINARY, ["job", "list"], env=environment(tmp_path, asking_port), encoding="utf-8", timeout=TIMEOUT_S
    )
    try:
        official.expect(r"(\d)\. anykey")
        choice = official.match[1]
        official.expect_exact("Choose a number: ")
        official.sendline(choice)
        official.expect(pexpect.EOF)
    finally:
        official.close()
    assert official.exitstatus == 0
