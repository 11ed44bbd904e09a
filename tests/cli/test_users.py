"""Users of a node in a shell: what they may do, what they are told, and how they make a hash of a password."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import pexpect
import pytest

from tests.services.node import ServedNode, start_node
from tests.services.users import CI, HASHED_PASSWORD, PASSWORD, SUBMIT, users_file

PROGRAM = [sys.executable, "-m", "bacalhau_jupyter"]
Shell = Callable[..., subprocess.CompletedProcess[str]]
JOB = "Type: batch\nTasks: [{Name: main, Engine: {Type: noop, Params: {Stdout: hi}}}]\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    directory = tmp_path_factory.mktemp("users")
    started = start_node(directory / "repo", "-c", str(users_file(directory)))
    yield started
    started.stop()


@pytest.fixture
def shell(served: ServedNode, tmp_path: Path) -> Shell:
    """Run a command line as somebody who knows the node by its address only."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    kept |= {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": str(served.port)}
    kept |= {"BACALHAU_DIR": str(tmp_path / "client"), "HOME": str(tmp_path)}
    (tmp_path / "job.yaml").write_text(JOB)

    def run(*words: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *words],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**kept, **extra},
            timeout=90,
            check=False,
        )

    return run


def test_a_key_for_jobs_is_enough_to_run_one(shell: Shell) -> None:
    done = shell("job", "run", "--follow", "job.yaml", BACALHAU_API_KEY=CI)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "hi"
    refused = shell("node", "list", BACALHAU_API_KEY=CI)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: user 'ci' does not have the required capability 'read:node'\n")
    assert "this API key" in refused.stderr
    assert CI not in refused.stderr


def test_who_may_submit_and_not_look_keeps_the_id_and_reads_why(shell: Shell) -> None:
    done = shell("job", "run", "job.yaml", BACALHAU_API_KEY=SUBMIT)
    assert done.returncode == 1
    assert "Job successfully submitted. Job ID: j-" in done.stderr
    assert "user 'submit' does not have the required capability 'read:job'" in done.stderr
    assert "Traceback" not in done.stderr
    detached = shell("job", "run", "--id-only", "--wait=false", "job.yaml", BACALHAU_API_KEY=SUBMIT)
    assert (detached.returncode, detached.stdout[:2]) == (0, "j-"), detached.stderr


@pytest.mark.parametrize(("username", "password"), [("RON", PASSWORD), ("bea", HASHED_PASSWORD)])
def test_a_name_and_a_password_from_the_environment_log_in(
    shell: Shell, username: str, password: str
) -> None:
    as_user = {"BACALHAU_API_USERNAME": username, "BACALHAU_API_PASSWORD": password}
    done = shell("node", "list", **as_user)
    assert done.returncode == 0, done.stderr
    info = shell("auth", "info", **as_user).stdout
    assert "Username: Set\nPassword: Set\n" in info
    assert "In use: this user name and password" in info
    assert password not in info
    wrong = shell("node", "list", **{**as_user, "BACALHAU_API_PASSWORD": "wrong"})
    assert "does not accept this user name and password" in wrong.stderr


def test_without_a_credential_the_ways_in_are_named(shell: Shell) -> None:
    done = shell("job", "list")
    assert done.returncode == 1
    assert "does not accept requests without a credential" in done.stderr
    assert "bacalhau-jupyter auth login" in done.stderr
    assert "BACALHAU_API_KEY" in done.stderr


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        ("\n", "password cannot be empty"),
        ("no line feed", "failed to read password from stdin: EOF"),
        ("p" * 101 + "\n", "password exceeds maximum length of 100 characters"),
        ("p" * 73 + "\n", "failed to hash password: bcrypt: password length exceeds 72 bytes"),
    ],
)
def test_what_is_no_password_is_refused_in_the_official_words(
    shell: Shell, stdin: str, sentence: str
) -> None:
    done = shell("auth", "hash-password", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: {sentence}\n"


def test_a_password_from_a_pipe_becomes_the_official_kinds_of_hash(shell: Shell) -> None:
    made = shell("auth", "hash-password", stdin=f"  {PASSWORD} \n").stdout.strip()
    assert made.startswith("$2a$10$")
    assert bcrypt.checkpw(PASSWORD.encode(), made.encode())
    line = shell("auth", "hash-password", "--scrypt", stdin=f"{PASSWORD}\n").stdout
    hashed, salt = (base64.b64decode(part) for part in json.loads(line))
    assert (len(hashed), len(salt)) == (32, 32)
    assert hashed == hashlib.scrypt(
        PASSWORD.encode(), salt=salt, n=32768, r=8, p=1, dklen=32, maxmem=64 << 20
    )


def test_a_typed_password_is_not_seen(tmp_path: Path) -> None:
    env = {**os.environ, "BACALHAU_DIR": str(tmp_path)}
    child = pexpect.spawn(PROGRAM[0], [*PROGRAM[1:], "auth", "hash-password"], env=env, timeout=60)
    child.expect("Enter password: ")
    # Typed before the echo is off it would be seen.
    assert child.waitnoecho()
    child.sendline(PASSWORD)
    child.expect(pexpect.EOF)
    seen = child.before.decode()
    child.close()
    assert PASSWORD not in seen
    assert "$2a$10$" in seen
