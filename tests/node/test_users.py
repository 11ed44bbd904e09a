"""Users on a node process: how it starts with them, what it logs, and what only its own user may do."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from bacalhau_jupyter.models.records.environments import PATH as ENVIRONMENTS
from tests.services.node_fixtures import NodeFactory
from tests.services.users import CI, FILE, HASHED_PASSWORD, PASSWORD, users_file

JOBS = "/api/v1/orchestrator/jobs"
PROGRAM = [sys.executable, "-m", "bacalhau_jupyter"]
ALL_KEY = "a-key-with-all-rights-0123"


async def status(url: str, method: str, path: str, header: str = "", body: object = None) -> int:
    headers = {"Authorization": header} if header else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, url + path, json=body) as answer,
    ):
        return answer.status


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket")
async def test_a_user_with_all_rights_is_not_the_nodes_own_user(node_factory: NodeFactory) -> None:
    users = f"API.Auth.Users=[{{Alias: owner, APIKey: {ALL_KEY}, Capabilities: [{{Actions: ['*']}}]}}]"
    node = await asyncio.to_thread(node_factory, "-c", users)
    environment = {"Prefixes": [sys.prefix]}
    # The same program, with and without the user's key.
    assert await status(node.url, "POST", ENVIRONMENTS, f"Bearer {ALL_KEY}", environment) == 403
    assert await status(node.url, "POST", ENVIRONMENTS, body=environment) == 200
    assert await status(node.url, "GET", JOBS, f"Bearer {ALL_KEY}") == 200


async def test_neither_passwords_nor_keys_are_in_the_log_or_on_the_disk(
    node_factory: NodeFactory, tmp_path: Path
) -> None:
    file = users_file(tmp_path)
    node = await asyncio.to_thread(node_factory, "-c", str(file), "-c", "Logging.Level=debug")
    assert await status(node.url, "GET", JOBS, basic("bea", HASHED_PASSWORD)) == 200
    assert await status(node.url, "GET", JOBS, basic("ron", PASSWORD)) == 200
    assert await status(node.url, "GET", JOBS, basic("ron", "a-wrong-pass-word")) == 401
    assert await status(node.url, "GET", JOBS, f"Bearer {CI}") == 200
    assert await status(node.url, "GET", JOBS, "Bearer a-wrong-key-0123") == 401
    await asyncio.to_thread(node.stop)
    output = node.output.read_bytes()
    assert b"other users can read" not in output
    kept = [path.read_bytes() for path in node.repo.path.rglob("*") if path.is_file()]
    for secret in (HASHED_PASSWORD, CI, "a-wrong-pass-word", "a-wrong-key-0123", "$2a$04$"):
        assert secret.encode() not in output, secret
        assert not any(secret.encode() in content for content in kept), secret


def test_a_file_that_others_may_read_is_warned_of(node_factory: NodeFactory, tmp_path: Path) -> None:
    file = users_file(tmp_path)
    file.chmod(0o644)
    node = node_factory("-c", str(file))
    node.stop()
    output = node.output.read_text()
    assert "Other callers need their own credential" in output
    # Once: a second sentence about the same file would look like a second problem.
    assert output.count(f"chmod 600 {file}") == 1


def test_a_wrong_user_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "users.yaml"
    file.write_text(FILE.replace("Alias: submit", "Alias: CI"))
    done = subprocess.run(
        [
            *PROGRAM,
            "serve",
            "--orchestrator",
            "--compute",
            "-c",
            str(file),
            "--data-dir",
            str(tmp_path / "repo"),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 1
    sentence = "duplicate alias detected: 'ci' and 'CI' (aliases are case-insensitive)"
    assert f"Error: error initializing users: {sentence}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert CI not in done.stderr
