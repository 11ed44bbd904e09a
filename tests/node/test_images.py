"""Images of a real node without a Docker Engine: loaded, listed, run, kept over a restart, cleaned up."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter import Client, docker
from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.models.records.kept.images import PullProgress
from tests.cli.running import shell_of
from tests.engines.images.building import Shelf, build, file, layer, layers_of
from tests.services.node_fixtures import NodeFactory
from tests.services.registry import Registry

pytestmark = [pytest.mark.docker, pytest.mark.process]
WITHOUT_DOCKER = ("-c", "Engines.Docker.Runtimes=bubblewrap")


def test_an_image_from_a_file_runs_jobs_and_stays_over_a_restart(
    node_factory: NodeFactory, docker_engine: str, busybox_image: str, tmp_path: Path
) -> None:
    archive = tmp_path / "busybox.tar"
    subprocess.run(["docker", "-H", docker_engine, "save", "-o", str(archive), busybox_image], check=True)
    repo = tmp_path / "repo"
    node = node_factory(*WITHOUT_DOCKER, data_dir=repo)

    loaded = shell_of(node, tmp_path)("image", "load", "busybox.tar")

    assert busybox_image in loaded.stdout, loaded.stderr
    with Client(node.url, api_key=node.key) as client:
        job = client.submit(docker(busybox_image, "echo from a file"))
        job.wait()
        assert "".join(job.logs()) == "from a file\n"
        usage = client.call(lambda api: api.agent_node()).images
        assert usage is not None and usage.count == 1 and usage.bytes > 1_000_000
    node.stop()
    shell = shell_of(node_factory(*WITHOUT_DOCKER, data_dir=repo), tmp_path)
    assert busybox_image in (listing := shell("image", "list").stdout)
    assert "All images take" in listing
    assert "Removed 1 image" in shell("image", "clean").stdout
    assert "There are no images" in shell("image", "list").stdout
    refusal = shell("image", "remove", busybox_image)
    assert refusal.returncode != 0 and "is not here" in refusal.stderr


def test_an_image_is_pulled_before_a_job_needs_it(
    node_factory: NodeFactory, registry: Registry, busybox_image: str, tmp_path: Path
) -> None:
    pushed = registry.push(busybox_image)
    allowed = ("-c", f"Compute.AllowListedAddresses={registry.address}")
    node = node_factory(*WITHOUT_DOCKER, *allowed, data_dir=tmp_path / "repo")
    shell = shell_of(node, tmp_path)

    pulled = shell("image", "pull", pushed.tagged)

    assert (pulled.returncode, pushed.tagged in pulled.stdout) == (0, True), pulled.stderr
    typo = shell("image", "pull", f"{registry.address}/busybx")
    assert (typo.returncode, "image not available" in typo.stderr) == (1, True)
    assert "does not have it" in typo.stderr
    ran = shell("docker", "run", "--follow", pushed.tagged, "--", "echo", "from the store")
    assert ran.stdout == "from the store\n", ran.stderr


def test_a_pull_in_a_terminal_says_how_far_it_is_and_ends_with_who_interrupts_it(
    node_factory: NodeFactory, shelf: Shelf, tmp_path: Path
) -> None:
    image = build(layer(file("a", os.urandom(8_000_000))))
    reference = shelf.put(image)
    shelf.stalls.add(layers_of(image)[0]["digest"])
    allowed = ("-c", f"Compute.AllowListedAddresses={shelf.address}")
    node = node_factory(*WITHOUT_DOCKER, *allowed, data_dir=tmp_path / "repo")
    terminal, slave = pty.openpty()
    pulling = subprocess.Popen(
        [sys.executable, "-m", "bacalhau_jupyter", "image", "pull", reference],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **node.client_env()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    os.close(slave)
    shown = b""
    try:
        while b" MB of " not in shown:
            shown += os.read(terminal, 4096)
        pulling.send_signal(signal.SIGINT)
        output, _ = pulling.communicate(timeout=60)
    finally:
        pulling.kill()
        os.close(terminal)
    assert b"pulling image " in shown and pulling.returncode != 0 and "Traceback" not in output

    with Client(node.url, api_key=node.key) as client:

        async def progress(api: AsyncAPI) -> PullProgress:
            # The node hears of it when its connection to the shell has ended.
            async with asyncio.timeout(60):
                async for each in api.images.progress(reference):
                    if each == PullProgress():
                        return each
            raise AssertionError

        assert client.call(progress) == PullProgress()
    assert "There are no images" in shell_of(node, tmp_path)("image", "list").stdout
