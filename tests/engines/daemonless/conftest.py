"""Both runtimes of ``docker`` tasks, with the same images."""

from __future__ import annotations

import io
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.images.contract import ImageConfig
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.daemonless.bench import Bench, Trees, daemonless
from tests.services import docker_engine as services
from tests.services import images, leaks
from tests.services.fixtures import service_or_skip

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def unpack(archive: Path, place: Path) -> Path:
    """Put an archived file tree at a place."""
    place.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-p", "--numeric-owner", "-f", archive, "-C", place], check=True)
    return place


@pytest.fixture
def api(docker_engine: str) -> Iterator[Any]:
    """The low-level client of the tests' Docker Engine."""
    client = services.client(docker_engine)
    yield client.api
    client.close()


@pytest.fixture(scope="session")
def busybox_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked busybox image."""
    place = tmp_path_factory.mktemp("busybox")
    archive = place / "archive.tar"
    archive.write_bytes(service_or_skip(images.busybox_archive))
    return unpack(archive, place / "tree")


@pytest.fixture(scope="session")
def python_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked Python image."""
    return unpack(service_or_skip(images.python_archive), tmp_path_factory.mktemp("python") / "tree")


@pytest.fixture
def store(busybox_tree: Path) -> Trees:
    """A store with busybox, under the name that it has on the Docker Engine, too."""
    trees = Trees()
    trees.add(images.BUSYBOX, busybox_tree, ImageConfig("amd64", "linux", command=("/bin/sh",), env=(PATH,)))
    return trees


@pytest.fixture
def define(busybox_tree: Path, store: Trees, tmp_path: Path) -> Callable[..., str]:
    """Makes images for the runtime without a daemon."""

    def make(config: ImageConfig, change: Callable[[Path], object] = lambda tree: None) -> str:
        name = f"bacalhau-jupyter-test/image-{uuid.uuid4().hex[:12]}:1"
        tree = tmp_path / "trees" / name.replace("/", "-")
        tree.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", "--", str(busybox_tree), str(tree)], check=True)
        change(tree)
        store.add(name, tree, replace(config, env=(PATH, *config.env)))
        return name

    return make


@pytest.fixture
def define_in_docker(
    define: Callable[..., str], store: Trees, api: Any, busybox_image: str
) -> Iterator[Callable[..., str]]:
    """Makes images for both runtimes."""
    made: list[str] = []

    def make(config: ImageConfig, change: Callable[[Path], object] = lambda tree: None) -> str:
        name = define(config, change)
        held = store.trees[name]
        tar = subprocess.run(
            ["tar", "-c", "--numeric-owner", "-C", str(held.tree), "."], stdout=subprocess.PIPE, check=True
        )
        changes = [f"ENV {each}" for each in held.image.config.env]
        changes += [
            f"{word} {json.dumps(list(words))}"
            for word, words in (("ENTRYPOINT", config.entrypoint), ("CMD", config.command))
            if words
        ]
        changes += [f"USER {config.user}"] if config.user else []
        changes += [f"WORKDIR {config.working_directory}"] if config.working_directory else []
        params = [("fromSrc", "-"), ("repo", name.removesuffix(":1")), ("tag", "1")]
        params += [("changes", each) for each in changes]
        url = f"{api.base_url}/v{api.api_version}/images/create"
        sent = api.post(url, params=params, data=tar.stdout, headers={"Content-Type": "application/tar"})
        sent.raise_for_status()
        if config.stop_signal:  # an import takes no such change
            dockerfile = f"FROM {name}\nSTOPSIGNAL {config.stop_signal}\n".encode()
            said = list(api.build(fileobj=io.BytesIO(dockerfile), tag=name, rm=True, decode=True))
            assert not any("error" in each for each in said), said
        made.append(name)
        return name

    yield make
    for name in made:
        api.remove_image(name, force=True)


@pytest.fixture
async def image_bench(store: Trees, define: Callable[..., str], tmp_path: Path) -> AsyncIterator[Bench]:
    """The runtime without a daemon; skipped, with its own sentence, where it does not work."""
    bench = daemonless(tmp_path, store)
    bench.define = define
    if problem := (await bench.engine.probe()).problem:
        pytest.skip(problem)
    yield bench
    for execution_id in await bench.engine.existing():
        await bench.engine.clean(execution_id)
    await bench.engine.close()


@pytest.fixture(params=["docker", "daemonless"])
async def bench(
    request: pytest.FixtureRequest, store: Trees, define: Callable[..., str], tmp_path: Path
) -> AsyncIterator[Bench]:
    """One of the two runtimes."""
    if request.param == "daemonless":
        bench = daemonless(tmp_path, store)
        bench.define = define
    else:
        url = request.getfixturevalue("docker_engine")
        options = PluginOptions(leaks.owns(f"n-{uuid.uuid4()}"), tmp_path)
        bench = Bench(tmp_path, options, DockerEngine(options, env={"DOCKER_HOST": url}))
        bench.define = request.getfixturevalue("define_in_docker")
    if problem := (await bench.engine.probe()).problem:
        pytest.skip(problem)
    yield bench
    for execution_id in await bench.engine.existing():
        await bench.engine.clean(execution_id)
    await bench.engine.close()
