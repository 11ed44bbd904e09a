"""Cells on a real official cluster: an unmodified node that is orchestrator and compute node in one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel
from tests.services.docker_engine import client
from tests.services.official import BINARY, NO_BINARY, official_cluster
from tests.services.registry import Registry

pytestmark = [pytest.mark.skipif(not BINARY, reason=NO_BINARY), pytest.mark.timeout(300)]


@pytest.fixture
def image(registry: Registry, busybox_image: str, docker_engine: str) -> Iterator[str]:
    """A busybox that a registry has: official nodes take no image that only their engine knows."""
    tagged = registry.push(busybox_image).tagged
    yield tagged
    engine = client(docker_engine)
    engine.images.remove(tagged, noprune=True)
    engine.close()


def test_a_container_runs_there_with_its_output_inputs_and_results(
    kernel: Kernel, image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with official_cluster(tmp_path_factory.mktemp("official")) as url:
        assert kernel.run(f"%bacalhau connect {url}").status == "ok"
        kernel.run("open('data.txt', 'w').write('carried')")
        ran = kernel.run(
            f"%%bacalhau docker {image} -i data.txt\n"
            "sleep 2; cat inputs/data.txt; echo; echo aside >&2; cp inputs/data.txt outputs/kept.txt"
        )
        assert ran.status == "ok", ran.traceback
        assert (ran.stdout, ran.stderr) == ("carried\n", "aside\n")
        record = ran.displays[-1][MIME]
        assert (record["state"], record["node"], record["runtime"]) == ("Completed", "stock", "docker")
        assert "running" in [display[MIME]["phase"] for display in ran.displays]
        assert kernel.value("_.text('outputs/kept.txt')") == "carried"
        failed = kernel.run(f"%%bacalhau docker {image}\nexit 3")
        assert "exit code 3" in failed.traceback
        assert failed.displays[-1][MIME]["outcome"] == "failed"
