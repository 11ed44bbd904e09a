"""Every body may write where it starts: in both tiers of processes, and in containers of an image's own user."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell
from tests.client.jobs.test_packages import TIERS, of_own
from tests.services.docker_engine import client as docker_client
from tests.services.node_fixtures import NodeFactory, node_factory

__all__ = ["node_factory"]

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

SHELL = """
echo x > scratch; mkdir deep; mv scratch deep/moved; cat deep/moved
ls -d inputs outputs; cat inputs/table; echo back > outputs/back
(echo y > inputs/table) 2>/dev/null || echo refused
"""
PYTHON = """
import os
open("scratch", "w").write("x"); os.mkdir("deep"); os.rename("scratch", "deep/moved")
print(open("deep/moved").read()); print("inputs"); print("outputs"); print(table.decode())
open("outputs/back", "w").write("back")
try:
    open(__file__, "a")
except OSError:
    print("refused")
"""
SAID = ["x", "inputs", "outputs", "a,1", "refused"]


def job(client: Client, cell: Cell) -> Job:
    """Return a cell's job; without this kernel's Python, which the job's user may not be able to read."""
    model = job_of_cell(cell, client.info, shares_machine=True)
    engine = model.task.engine
    if not engine.is_type("process"):
        return model
    system_python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    command = [
        system_python if word == sys.executable and system_python else word
        for word in engine.params["Command"]
    ]
    return replace(model, tasks=[replace(model.task, engine=replace(engine, params={"Command": command}))])


def said(client: Client, cell: Cell) -> list[str]:
    result = client.submit(job(client, cell)).result()
    assert result.files["outputs/back"].read_text().strip() == "back"
    return result.stdout.split()


def cell(language: str, body: str, image: str = "") -> Cell:
    return Cell(language, body, image=image, variables={"table": b"a,1\n"})


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("language", "body"), [("sh", SHELL), ("bash", SHELL), ("python", PYTHON)])
def test_a_body_writes_where_it_starts(
    node_factory: NodeFactory, tier: str, language: str, body: str
) -> None:
    with of_own(node_factory("-c", f"Engines.Process.Tiers={tier}"), tier) as client:
        assert said(client, cell(language, body)) == SAID


@pytest.fixture(scope="session")
def image_of_another_user(docker_engine: str, python_image: str) -> Iterator[str]:
    """An image whose programs run as a user who can't write to /."""
    engine = docker_client(docker_engine, timeout_s=60)
    container = engine.containers.create(python_image, ["true"])
    image = container.commit("bacalhau-jupyter-test/other-user", "latest", changes=["USER 65534:65534"])
    container.remove()
    yield "bacalhau-jupyter-test/other-user:latest"
    engine.images.remove(image.id, force=True)
    engine.close()


@pytest.mark.docker
@pytest.mark.parametrize("own_user", [False, True])
@pytest.mark.parametrize(
    ("language", "body"), [("sh", SHELL), ("bash", SHELL), ("docker", SHELL), ("python", PYTHON)]
)
def test_a_body_in_a_container_writes_where_it_starts(
    node_factory: NodeFactory,
    python_image: str,
    image_of_another_user: str,
    language: str,
    body: str,
    own_user: bool,
) -> None:
    image = image_of_another_user if own_user else python_image
    with of_own(node_factory()) as client:
        assert said(client, cell(language, body, image=image)) == SAID
