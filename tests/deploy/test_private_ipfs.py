"""The recipe of a private IPFS node: who has the swarm's key gets in, nobody else; and a job's way through it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import DEPLOY
from tests.services.common import end_process, wait_until
from tests.services.fixtures import service_or_skip
from tests.services.kubo import KuboNode, binary, swarm_key
from tests.services.node_fixtures import NodeFactory

SCRIPT = DEPLOY / "private-ipfs.sh"
Recipe = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.kubo


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables with Kubo on the path, and any ports."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ipfs").symlink_to(service_or_skip(binary))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("IPFS_", "BACALHAU_"))}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "IPFS_RPC_PORT": "0",
        "IPFS_SWARM_PORT": "0",
        "IPFS_SWARM_HOST": "127.0.0.1",
    }


@pytest.fixture
def recipe(environment: dict[str, str]) -> Recipe:
    """Run the script with some words."""

    def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(SCRIPT), *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def private(recipe: Recipe, environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """The directory of a node that the script made and runs."""
    directory = tmp_path / "ipfs"
    recipe("init", str(directory))
    log = tmp_path / "ipfs.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(SCRIPT), "run", str(directory)], env=environment, stdout=sink, stderr=sink
        )
    try:
        is_ready = wait_until(lambda: "Daemon is ready" in log.read_text(errors="replace"), timeout_s=60)
        assert is_ready, log.read_text(errors="replace")
        yield directory
    finally:
        end_process(process, timeout_s=60)


def can_join(directory: Path, key: str, address: str) -> bool:
    """Whether a node with a key gets into a swarm."""
    directory.mkdir()
    other = KuboNode(directory, key)
    try:
        other.run("swarm", "connect", address)
    except Exception as refused:
        assert "connect" in str(refused)
        return False
    finally:
        other.close()
    return True


def test_only_who_has_the_key_gets_in(private: Path, recipe: Recipe, tmp_path: Path) -> None:
    address = recipe("swarm", str(private)).stdout.split()[0]
    key = (private / "repo" / "swarm.key").read_text(encoding="utf-8")
    assert can_join(tmp_path / "member", key, address)
    assert not can_join(tmp_path / "stranger", swarm_key(), address)


def test_the_key_is_readable_by_its_owner_only(recipe: Recipe, tmp_path: Path) -> None:
    recipe("init", str(tmp_path / "ipfs"))
    key = tmp_path / "ipfs" / "repo" / "swarm.key"
    assert key.stat().st_mode & 0o077 == 0
    assert key.read_text(encoding="utf-8").startswith("/key/swarm/psk/1.0.0/\n/base16/\n")


def test_a_second_node_takes_the_key_of_the_first(recipe: Recipe, tmp_path: Path) -> None:
    key = tmp_path / "given.key"
    key.write_text(swarm_key(), encoding="utf-8")
    recipe("init", str(tmp_path / "ipfs"), str(key))
    assert (tmp_path / "ipfs" / "repo" / "swarm.key").read_bytes() == key.read_bytes()


@pytest.mark.parametrize("words", [["init"], ["nonsense", "DIR"], []])
def test_wrong_words_are_told_the_right_ones(recipe: Recipe, words: list[str]) -> None:
    done = recipe(*words, check=False)
    assert done.returncode == 2
    assert "private-ipfs.sh init DIR" in done.stderr


def test_content_is_never_overwritten_and_a_wrong_key_never_taken(recipe: Recipe, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_text("secret\n", encoding="utf-8")
    refused = recipe("init", str(tmp_path / "ipfs"), str(wrong), check=False)
    assert "is no swarm key" in refused.stderr
    (tmp_path / "full" / "repo").mkdir(parents=True)
    again = recipe("init", str(tmp_path / "full"), check=False)
    assert (again.returncode, "exists" in again.stderr) == (1, True)


def test_a_job_reads_from_the_private_node_and_publishes_to_it(
    private: Path,
    recipe: Recipe,
    environment: dict[str, str],
    node_factory: NodeFactory,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "in.txt").write_text("shared\n", encoding="utf-8")
    ipfs = [str(binary()), "add", "-Q", str(tmp_path / "in.txt")]
    own = environment | {"IPFS_PATH": str(private / "repo")}
    cid = subprocess.run(ipfs, env=own, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    node = node_factory("--ipfs-connect", recipe("rpc", str(private)).stdout.strip())
    swarm = recipe("swarm", str(private)).stdout.split()[0]

    def shell(*words: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            env=environment | node.client_env() | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    flags = [
        "--wait",
        "-i",
        f"ipfs://{cid}:/inputs/in.txt",
        "-o",
        "outputs:/outputs",
        "-p",
        "ipfs",
    ]
    command = ["sh", "-c", "cat /inputs/in.txt /inputs/in.txt > /outputs/out.txt"]
    shell("docker", "run", *flags, busybox_image, "--", *command)
    (job,) = json.loads(shell("job", "list", "--output", "json"))
    # By a temporary node of the client's own, which knows the key and one address.
    swarm_of_client = {
        "BACALHAU_RESULTDOWNLOADERS_TYPES_IPFS_SWARMADDRESSES": swarm,
        "BACALHAU_RESULTDOWNLOADERS_TYPES_IPFS_SWARMKEY": str(private / "repo" / "swarm.key"),
    }
    shell("job", "get", job["ID"], **swarm_of_client)
    (result,) = tmp_path.glob("job-*/**/out.txt")
    assert result.read_text(encoding="utf-8") == "shared\nshared\n"
