"""The image of `deploy/Dockerfile`, built without a network on a base of our own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import docker
import pytest

from tests.services.common import ServiceUnavailableError, cache_dir, one_process_at_a_time, run
from tests.services.docker_engine import client
from tests.services.fixtures import service_or_skip
from tests.services.node_fixtures import node, node_config, node_factory

__all__ = ["node", "node_config", "node_factory"]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
IMAGE = "bacalhau-jupyter-test/node:latest"
BASE = "bacalhau-jupyter-test/python-with-pip:latest"
EXTRAS = "docker,s3,wasm"
BUILD_TIMEOUT_S = 900.0


@pytest.fixture(scope="session")
def node_image(docker_engine: str, python_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the image of a node in `docker_engine`."""
    place = tmp_path_factory.mktemp("node-image")
    with one_process_at_a_time("node-image"):
        service_or_skip(lambda: _build(docker_engine, python_image, place))
    return IMAGE


def _build(engine_url: str, python_image: str, place: Path) -> None:
    """Fetch what the node needs, once, and build as everybody does, but without a network."""
    wheels = _needed()
    engine = client(engine_url, timeout_s=BUILD_TIMEOUT_S)
    try:
        _make_base(engine, python_image, wheels, place)
    finally:
        engine.close()
    options = ["--network", "none", "--build-arg", f"BASE={BASE}", "--build-arg", f"EXTRAS={EXTRAS}"]
    options += ["--build-arg", "PIP_OPTIONS=--no-index --break-system-packages", "--tag", IMAGE]
    # What pip needs to make the wheel is installed here.
    environment = {"PYTHON": sys.executable, "WHEELS": str(wheels), "PIP_NO_BUILD_ISOLATION": "0"}
    done = subprocess.run(
        [str(DEPLOY / "build.sh"), *options],
        env={**os.environ, **environment, "DOCKER_HOST": engine_url, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def _needed() -> Path:
    """Return where the packages are that a node needs; they are fetched again when the project asks for others."""
    asked = (ROOT / "pyproject.toml").read_bytes() + f"{sys.version_info[:2]}{EXTRAS}".encode()
    place = cache_dir() / f"node-wheels-{hashlib.sha256(asked).hexdigest()[:12]}"
    if not place.is_dir():
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = [each for name in EXTRAS.split(",") for each in project["optional-dependencies"][name]]
        download = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--only-binary=:all:",
            "--dest",
            str(part),
        ]
        run([*download, *project["dependencies"], *extras, "pip"], timeout_s=BUILD_TIMEOUT_S)
        part.rename(place)
    return place


def _make_base(engine: docker.DockerClient, python_image: str, wheels: Path, place: Path) -> None:
    """Make an image with Python into one with pip, as those of the registry are."""
    (pip,) = wheels.glob("pip-*.whl")
    shutil.copy(pip, place)
    install = f"python3 /{pip.name}/pip install --no-index --break-system-packages /{pip.name}"
    lines = [f"FROM {python_image}", f"COPY {pip.name} /", f"RUN {install}"]
    (place / "Dockerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        engine.images.build(path=str(place), tag=BASE, network_mode="none", rm=True, forcerm=True)
    except (docker.errors.BuildError, docker.errors.APIError) as error:
        raise ServiceUnavailableError(f"the engine does not build images: {error}") from error


def docker_command(*words: str, timeout_s: float = 120) -> str:
    """Run ``docker``; return what it printed."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
