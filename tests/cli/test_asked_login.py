"""Our client at a node of ours whose policies ask for a login: menu, questions, hidden answers, key pair."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from tests.services.asking import settings_in
from tests.services.node import ServedNode, start_node

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    directory = tmp_path_factory.mktemp("asked")
    started = start_node(
        directory / "repo", "-c", str(settings_in(directory)), "-c", "API.TrustLocalUser=false"
    )
    yield started
    started.stop()


@contextmanager
def listing(
    node: ServedNode, home: Path, command: tuple[str, ...] = ("job", "list")
) -> Iterator[pexpect.spawn]:
    """Run ``job list``, or another command, in a terminal, to its end."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    own = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": str(node.port), "COLUMNS": "200"}
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "bacalhau_jupyter", *command],
        env={**kept, **own, "HOME": str(home), "BACALHAU_DIR": str(home / "client")},
        encoding="utf-8",
        timeout=TIMEOUT_S,
    )
    try:
        yield terminal
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()


def test_the_client_asks_what_the_policy_asks_for_once(served, tmp_path) -> None:
    with listing(served, tmp_path) as terminal:
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
    assert terminal.exitstatus == 0
    tokens = tmp_path / "client" / "tokens.json"
    assert list(json.loads(tokens.read_text())) == [served.url]
    with listing(served, tmp_path) as terminal:
        terminal.expect_exact("CREATED")
    assert terminal.exitstatus == 0


@pytest.mark.parametrize("command", [("job", "list"), ("auth", "login")])
def test_a_wrong_word_is_said_to_be_refused_and_nobody_is_asked_again(served, tmp_path, command) -> None:
    with listing(served, tmp_path, command) as terminal:
        terminal.expect_exact("Choose a number: ")
        terminal.sendline("2")
        for answer in ("ali", "close sesame"):
            terminal.expect_exact(": ")
            terminal.sendline(answer)
        terminal.expect_exact("Error: login failed: credentials rejected")
    assert terminal.exitstatus == 1


def test_a_challenge_is_answered_with_a_key_pair_that_is_made_for_it(served, tmp_path) -> None:
    with listing(served, tmp_path) as terminal:
        terminal.expect_exact("Choose a number: ")
        terminal.sendline("1")
        terminal.expect_exact("CREATED")
    assert terminal.exitstatus == 0
    assert (tmp_path / "client" / "user_id.pem").stat().st_mode & 0o777 == 0o600


def test_who_chooses_nothing_is_not_logged_in(served, tmp_path) -> None:
    with listing(served, tmp_path) as terminal:
        terminal.expect_exact("Choose a number: ")
        terminal.sendline("")
        terminal.expect_exact("Error: no login method was chosen")
    assert terminal.exitstatus == 1
