"""Our verbs on an unmodified official node; ``BACALHAU_STOCK_BINARY`` names its program."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.client.wasm.samples import module
from tests.services.common import wait_until
from tests.services.ports import free_port
from tests.services.registry import Registry

BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
pytestmark = pytest.mark.skipif(not BINARY, reason="BACALHAU_STOCK_BINARY names no official program")

SPEC = "Name: {name}\nType: batch\nTasks: [{{Name: main, Engine: {{Type: docker, Params: {{Image: {image}}}}}}}]\n"
TIMEOUT_S = 60.0

Ours = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    """Run a command line of ours that talks to an official node."""
    home = tmp_path_factory.mktemp("official")
    api, link, results = (free_port() for _ in range(3))
    quiet = {
        "HOME": str(home),
        "BACALHAU_DISABLEANALYTICS": "true",
        "BACALHAU_UPDATECONFIG_INTERVAL": "0",
    }
    keys = {
        "API.Host": "127.0.0.1",
        "API.Port": api,
        "Orchestrator.Host": "127.0.0.1",
        "Orchestrator.Port": link,
        "Compute.Orchestrators": f"nats://127.0.0.1:{link}",
        "Publishers.Types.Local.Port": results,
    }
    settings = [word for key, value in keys.items() for word in ("-c", f"{key}={value}")]
    with (home / "node.log").open("wb") as log:
        node = subprocess.Popen(
            [BINARY, "serve", "--orchestrator", "--compute", "--name", "stock", *settings],
            env={**os.environ, **quiet, "BACALHAU_DIR": str(home / "node")},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )

    def run(*words: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        own = {
            **quiet,
            "BACALHAU_DIR": str(home / "client"),
            "BACALHAU_API_HOST": "127.0.0.1",
            "BACALHAU_API_PORT": str(api),
        }
        return subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            env={**os.environ, **own, **extra},
            input=stdin,
            capture_output=True,
            text=True,
            cwd=home,
            timeout=TIMEOUT_S,
            check=False,
        )

    try:
        assert wait_until(
            lambda: "CONNECTED" in run("node", "list").stdout, timeout_s=TIMEOUT_S, interval_s=0.5
        )
        yield run
    finally:
        node.terminate()
        node.wait(timeout=30)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_job_runs_and_all_that_there_is_about_it_is_shown(ours: Ours) -> None:
    # Whether there is such an image does not matter: a job that fails has a history, too.
    text = SPEC.format(name="shown", image="no-such-image-here")
    fresh = ours("job", "run", "--dry-run", stdin=text)
    assert fresh.returncode == 0, fresh.stderr
    assert "there is no job 'shown' yet" in fresh.stderr
    assert ours("job", "run", stdin=text).returncode == 1
    assert "no changes" in ours("job", "diff", stdin=text).stdout
    again = ours("job", "rerun", "shown", "--wait")
    assert "runs again as version 2" in again.stderr
    for verb in ("history", "versions"):
        assert rows(ours("job", verb, "shown", "--output", "csv").stdout), verb
    assert ours("job", "executions", "shown", "--all-versions").stdout.startswith("CREATED")
    one = json.loads(ours("job", "describe", "shown", "-v", "1", "--output", "json").stdout)
    assert one["Job"]["Version"] == 1
    for order in ("id", "created_at"):
        assert ours("job", "list", "--order-by", order).returncode == 0
    over = ours("job", "stop", "shown")
    assert over.returncode == 1
    assert "over already" in over.stderr


@pytest.fixture
def image(docker_engine: str, busybox_image: str, registry: Registry) -> Iterator[str]:
    """An image that an official node can ask a registry about."""
    pushed = registry.push(busybox_image, "tests/stock:1")
    yield pushed.tagged
    engine = docker.DockerClient(base_url=docker_engine)
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.images.remove(pushed.tagged, noprune=True)
    engine.close()


def test_output_and_results_of_a_job_come_back_also_by_the_words_of_older_versions(
    ours: Ours, image: str, tmp_path: Path
) -> None:
    words = ("--name", "fetched", "-o", "out:/out", "-p", "local", image, "--")
    ran = ours("docker", "run", "--follow", *words, "sh", "-c", "echo hello; echo kept > /out/f")
    assert (ran.returncode, ran.stdout) == (0, "hello\n"), ran.stderr
    old = ours("logs", "fetched")
    assert old.stdout == "hello\n"
    assert "Note: logs is job logs today" in old.stderr
    assert ours("get", "fetched", "--output-dir", str(tmp_path)).returncode == 0
    assert (tmp_path / "out" / "f").read_text() == "kept\n"
    again = ours("job", "rerun", "fetched", "--id-only")
    assert again.returncode == 0, again.stderr
    executions = rows(ours("job", "executions", "fetched", "--all-versions", "--output", "csv").stdout)
    assert {row["job version"] for row in executions} == {"1", "2"}


@pytest.mark.parametrize(
    "verb",
    [
        ("agent", "alive"),
        ("agent", "node"),
        ("agent", "version"),
        ("agent", "config"),
        ("auth", "info"),
        ("version",),
    ],
)
def test_the_node_describes_itself(ours: Ours, verb: tuple[str, ...]) -> None:
    done = ours(*verb, "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_a_webassembly_module_becomes_the_job_that_the_official_client_makes(
    ours: Ours, tmp_path: Path
) -> None:
    (tmp_path / "add.wasm").write_bytes(module())
    done = ours("wasm", "run", str(tmp_path / "add.wasm"), "--dry-run", "--output", "a:/a", "--", "1", "2")
    assert done.returncode == 0, done.stderr
    assert "EntryModule: main.wasm" in done.stdout
    assert "Parameters:" in done.stdout


def test_nodes_are_listed_described_rejected_and_approved(ours: Ours) -> None:
    # At the end: an official node that was rejected gets no jobs until it starts again.
    listed = rows(ours("node", "list", "--show", "version,features", "--output", "csv").stdout)
    assert listed[0]["id"] == "stock"
    assert "docker" in listed[0]["engines"]
    assert (
        json.loads(ours("node", "describe", "stock", "--output", "json").stdout)["Info"]["NodeID"] == "stock"
    )
    assert "is rejected" in ours("node", "reject", "stock", "-m", "a test").stdout
    assert rows(ours("node", "list", "--filter-approval", "rejected", "--output", "csv").stdout)
    again = ours("node", "reject", "stock")
    assert again.returncode == 1
    assert "already rejected" in again.stderr
    assert "is approved" in ours("node", "approve", "stock").stdout
