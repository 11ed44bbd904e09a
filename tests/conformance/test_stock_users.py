"""The unmodified official client as a user of a node of ours; ``BACALHAU_STOCK_BINARY`` names it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.node import ServedNode, start_node
from tests.services.users import CI, HASHED_PASSWORD, PASSWORD, WATCH, users_file

BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
pytestmark = pytest.mark.skipif(not BINARY, reason="BACALHAU_STOCK_BINARY names no official client")

SPEC = "Name: official\nType: batch\nTasks: [{Name: main, Engine: {Type: noop}}]\n"
CAPTURES = Path(__file__).parents[1] / "data" / "trust-captures"
TEXTS = {item["what"]: item["text"] for item in json.loads((CAPTURES / "cli_texts.json").read_bytes())}
Official = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    directory = tmp_path_factory.mktemp("official-users")
    started = start_node(directory / "repo", "-c", str(users_file(directory)))
    yield started
    started.stop()


@pytest.fixture
def official(served: ServedNode, tmp_path: Path) -> Official:
    """Run the official client with more variables."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
    kept |= {
        "HOME": str(tmp_path),
        "BACALHAU_DIR": str(tmp_path / "official"),
        "BACALHAU_DISABLEANALYTICS": "true",
        "BACALHAU_UPDATECONFIG_INTERVAL": "0",
        "BACALHAU_API_HOST": "127.0.0.1",
        "BACALHAU_API_PORT": str(served.port),
    }
    (tmp_path / "job.yaml").write_text(SPEC)

    def run(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BINARY, *words],
            env={**kept, **extra},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


def said(done: subprocess.CompletedProcess[str]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def test_a_key_for_jobs_runs_one_and_may_do_nothing_else(official: Official) -> None:
    done = official("job", "run", "job.yaml", BACALHAU_API_KEY=CI)
    assert done.returncode == 0, said(done)
    assert "Completed" in said(done)
    refused = official("node", "list", BACALHAU_API_KEY=CI)
    assert refused.returncode == 1
    assert TEXTS["any command, missing capability"] in said(refused)
    watching = official("job", "run", "--id-only", "job.yaml", BACALHAU_API_KEY=WATCH)
    assert "Request Forbidden" in said(watching)


@pytest.mark.parametrize(("username", "password"), [("Ron", PASSWORD), ("bea", HASHED_PASSWORD)])
def test_a_name_and_a_password_log_in(official: Official, username: str, password: str) -> None:
    variables: dict[str, Any] = {"BACALHAU_API_USERNAME": username, "BACALHAU_API_PASSWORD": password}
    assert official("node", "list", **variables).returncode == 0
    wrong = official("node", "list", **{**variables, "BACALHAU_API_PASSWORD": "wrong"})
    assert wrong.returncode == 1
    assert TEXTS["any command, wrong key/password or expired SSO token"].split("\n")[0] in said(wrong)


def test_without_a_credential_it_says_what_it_says_of_an_official_node(official: Official) -> None:
    done = official("job", "list")
    assert done.returncode == 1
    assert TEXTS["job list without credential, users configured"] in said(done)
    info = official("auth", "info")
    assert "Server does not support SSO login" in said(info)


def test_a_hash_that_it_makes_is_one_that_we_take(official: Official) -> None:
    import bcrypt

    from bacalhau_jupyter.auth.users.hashes import cost_of

    done = subprocess.run(
        [BINARY, "auth", "hash-password"], input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=60
    )
    made = done.stdout.strip().splitlines()[-1]
    assert cost_of(made) == 10
    assert bcrypt.checkpw(PASSWORD.encode(), made.encode())
