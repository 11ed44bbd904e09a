"""Cells and verbs on an official cluster that ``connect`` leads to; ``BACALHAU_STOCK_BINARY`` names its program."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml

from bacalhau_jupyter.config.repo import Repo
from tests.cli.running import shell_of
from tests.node.guests.cluster import module
from tests.node.joining.official_jobs import answer_of
from tests.notebook.conftest import Kernel
from tests.services.common import wait_until
from tests.services.node_fixtures import NodeFactory
from tests.services.official import BINARY, NO_BINARY, official_cluster, quiet_environment
from tests.services.official_compute import guests_of
from tests.services.ports import free_port
from tests.services.registry import Registry
from tests.services.wasm_modules import printing

pytestmark = pytest.mark.skipif(not BINARY, reason=NO_BINARY)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with official_cluster(tmp_path_factory.mktemp("official")) as url:
        yield url


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory, cluster: str) -> Iterator[Kernel]:
    """A kernel that was connected to the official cluster."""
    made = Kernel(Repo.open(tmp_path_factory.mktemp("repo") / "repo"), tmp_path_factory.mktemp("notebook"))
    try:
        assert made.run("%load_ext bacalhau_jupyter").status == "ok"
        ran = made.run(f"%bacalhau connect {cluster}")
        assert ran.status == "ok", ran.traceback
        assert "official Bacalhau" in ran.result["text/plain"]
        yield made
    finally:
        made.close()


@pytest.fixture
def image(docker_engine: str, python_image: str, registry: Registry) -> Iterator[str]:
    """An image with Python that an official node can ask a registry about."""
    pushed = registry.push(python_image, "tests/stock-python:1")
    yield pushed.tagged
    engine = docker.DockerClient(base_url=docker_engine)
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.images.remove(pushed.tagged, noprune=True)
    engine.close()


def test_a_cell_prints_brings_values_in_and_out_and_its_error_is_the_programs_own(
    kernel: Kernel, image: str
) -> None:
    kernel.run("taken = {'a': 1}")
    ran = kernel.run(
        f"%%bacalhau python --image {image} --in taken --out given\nprint('live'); given = [taken, 2]"
    )
    assert ran.status == "ok", ran.traceback
    assert "live" in ran.stdout
    assert "[{'a': 1}, 2]" in kernel.run("print(given)").stdout
    failed = kernel.run(f"%%bacalhau python --image {image}\n1 / 0")
    assert "ZeroDivisionError" in failed.stderr + failed.traceback
    assert "exit code 1" in failed.traceback


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (
            "%%bacalhau sh --engine process\ntrue",
            "no node of this cluster runs process jobs, only docker, wasm",
        ),
        ("%bacalhau docker run -p ipfs busybox true", "publishes to ipfs"),
        (
            "%bacalhau docker run -i ipfs://QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG:/x busybox true",
            "ipfs",
        ),
        ("%%bacalhau docker busybox -i large.bin:/inputs/large.bin\ntrue", "takes no uploads"),
        ("%%bacalhau docker busybox -i middle.bin:/inputs/middle.bin\ntrue", "takes no uploads"),
        ("%bacalhau job delete j-1", "deletes no jobs"),
    ],
)
def test_what_the_cluster_can_not_do_is_said_and_no_job_is_made(
    kernel: Kernel, cell: str, reason: str
) -> None:
    kernel.run(
        "import os\nfor name, size in (('large', 8_000_000), ('middle', 900_000)):\n"
        "    open(f'{name}.bin', 'wb').write(os.urandom(size))"
    )
    count = "from bacalhau_jupyter import Client; print(len(Client().jobs(limit=1000)))"
    before = kernel.run(count).stdout
    ran = kernel.run(cell)
    assert ran.status == "error"
    assert reason in ran.traceback
    assert "Hint" in ran.traceback
    assert kernel.run(count).stdout == before


def test_the_official_program_reads_what_connect_saved_and_the_other_way_round(
    kernel: Kernel, cluster: str, tmp_path: Path
) -> None:
    def official(*words: str) -> str:
        done = subprocess.run(
            [BINARY, *words],
            env={**quiet_environment(tmp_path), "BACALHAU_DIR": str(kernel.repo.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    (current,) = [
        row for row in json.loads(official("profile", "list", "--output", "json")) if row["current"]
    ]
    assert current["endpoint"] == cluster
    assert "stock" in official("node", "list")
    official(
        "profile", "save", "by-official", "--endpoint", cluster, "--description", "saved there", "--select"
    )
    ran = kernel.run("%bacalhau profile show")
    assert "by-official (current)" in ran.result["text/plain"]
    listed = kernel.run("%bacalhau profile list --output json").stdout
    rows = {row["name"]: row for row in json.loads(listed)}
    assert rows == {row["name"]: row for row in json.loads(official("profile", "list", "--output", "json"))}
    kernel.run("%bacalhau profile save by-official --timeout 1m")
    assert "1m" in official("profile", "show")
    stored = yaml.safe_load((kernel.repo.profiles_dir / "by-official.yaml").read_text())
    assert stored == {"endpoint": cluster, "description": "saved there", "timeout": "1m"}
    official("profile", "delete", "by-official", "--force")
    assert "by-official" not in kernel.run("%bacalhau profile list --output json").stdout
    kernel.run("%bacalhau connect --own")
    assert not [row for row in json.loads(official("profile", "list", "--output", "json")) if row["current"]]


def test_an_official_node_that_only_runs_jobs_says_so_and_whose_jobs(
    tmp_path: Path, node_factory: NodeFactory
) -> None:
    token = "a token that nobody prints"
    placer = node_factory(
        *("-c", "Orchestrator.Port=0"),
        name="placer",
        roles=["--orchestrator"],
        env={"BACALHAU_ORCHESTRATOR_AUTH_TOKEN": token},
    )
    link = str(answer_of(placer, "/api/v1/cluster")[1]["Address"])
    port = free_port()
    with guests_of(tmp_path / "guests", link, token) as guests:
        guests("n-only", API__Port=port)
        assert wait_until(lambda: answer_of(placer, "/api/v1/cluster")[1]["Nodes"] == 1, timeout_s=90)
        repo, shell = tmp_path / "repo", shell_of(placer, tmp_path)
        url = f"http://127.0.0.1:{port}"
        for words in (("connect", url), ("--api-host", "127.0.0.1", "--api-port", str(port), "job", "list")):
            done = shell("--data-dir", str(repo), *words)
            assert done.returncode == 1
            sentence = (
                f"{url} is an official Bacalhau node that only runs jobs, for the orchestrator at {link}"
            )
            assert sentence in done.stderr
            assert "give the address of its orchestrator's API instead" in done.stderr
            assert "older" not in done.stderr
            assert token not in done.stderr
        # What it does know is answered.
        version = shell(
            "--data-dir", str(repo), "--api-host", "127.0.0.1", "--api-port", str(port), "version"
        )
        assert "v1.9.3" in version.stdout, version.stderr


def test_a_wasm_job_of_a_yaml_file_runs_on_the_official_cluster_from_a_cell_and_from_a_shell(
    kernel: Kernel, cluster: str, tmp_path: Path
) -> None:
    file = tmp_path / "module.yaml"
    file.write_text(yaml.safe_dump({"Name": "from-yaml", **module(printing("hello from wasm"))}))
    assert kernel.run(f"%bacalhau connect {cluster}").status == "ok"
    ran = kernel.run(f"%bacalhau job run {file} --wait-timeout-secs 120", timeout_s=200)
    assert ran.status == "ok", ran.traceback
    last = "from bacalhau_jupyter import Client; print(Client().job('from-yaml').result().stdout)"
    assert "hello from wasm" in kernel.run(last).stdout
    host, _, port = cluster.removeprefix("http://").partition(":")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bacalhau_jupyter", "--data-dir", str(tmp_path / "repo")),
            *("--api-host", host, "--api-port", port),
            *("job", "run", str(file), "--force", "--wait-timeout-secs", "120", "--node-details"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        env={name: value for name, value in os.environ.items() if not name.startswith("BACALHAU_")},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed, exit code 0" in done.stdout
