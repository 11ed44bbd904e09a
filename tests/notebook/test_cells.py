"""From a cell to a job spec."""

from __future__ import annotations

import base64
import io
import json
import sys
import tarfile

import pytest

from bacalhau_jupyter.client.bodies.values import LARGE
from bacalhau_jupyter.client.inputs.pending import PendingInput
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job
from bacalhau_jupyter.models.jobs.validate import validate_submission
from bacalhau_jupyter.models.records.node import ComputeNodeInfo, NodeInfo
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell

BOTH = NodeInfo(compute_node_info=ComputeNodeInfo(execution_engines=["docker", "process"]))
DOCKER = NodeInfo(compute_node_info=ComputeNodeInfo(execution_engines=["docker"]))
NOTHING = NodeInfo(
    compute_node_info=ComputeNodeInfo(
        execution_engines=["noop"], engine_problems={"docker": "no Docker Engine answers"}
    )
)


def packed_kit_of(job: Job) -> dict[str, bytes]:
    """Unpack what travels with the cell."""
    source = next(item for item in job.task.input_sources if item.target.endswith("/.bacalhau"))
    data = base64.b64decode(source.source.params["URL"].partition("base64,")[2])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {item.name: archive.extractfile(item) for item in archive if item.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def kit_of(job: Job) -> dict[str, str]:
    """Unpack what travels with the cell, as text."""
    return {name: data.decode() for name, data in packed_kit_of(job).items()}


def test_a_python_cell_runs_in_the_kernels_own_environment_when_it_can() -> None:
    job = job_of_cell(
        Cell("python", "x = {1}\n", output_names=["x"], variables={"n": 1}), BOTH, shares_machine=True
    )
    assert job.task.engine.type == "process"
    assert job.task.engine.params["Command"] == [sys.executable, "-u", "inputs/.bacalhau/job_runner.py"]
    assert sys.prefix in job.task.engine.params["Python"]["Prefixes"]
    kit = kit_of(job)
    assert kit["cell.py"] == "x = {1}\n"
    description = json.loads(kit["cell.json"])
    assert (description["in"], description["out"]) == ({"n": ["n.json", "json"]}, ["x"])
    assert kit["in/n.json"] == "1"


@pytest.mark.parametrize(
    ("cell", "node", "near", "engine"),
    [
        (Cell("python", "1"), BOTH, True, "process"),
        (Cell("python", "1"), BOTH, False, "docker"),
        (Cell("python", "1"), DOCKER, True, "docker"),
        (Cell("python", "1", image="python:3.12"), BOTH, True, "docker"),
        (Cell("python", "1", options=JobOptions(gpu="1")), BOTH, True, "docker"),
        (Cell("python", "1", engine="docker"), BOTH, True, "docker"),
        (Cell("sh", "1"), BOTH, True, "process"),
        (Cell("docker", "echo", image="busybox"), BOTH, True, "docker"),
    ],
)
def test_the_engine_is_chosen_by_what_was_asked_and_where_the_node_is(
    cell: Cell, node: NodeInfo, near: bool, engine: str
) -> None:
    assert job_of_cell(cell, node, shares_machine=near).task.engine.type == engine


def test_without_an_engine_the_reason_is_reported() -> None:
    with pytest.raises(BacalhauError, match="docker: no Docker Engine answers"):
        job_of_cell(Cell("sh", "echo"), NOTHING, shares_machine=True)


@pytest.mark.parametrize(
    ("body", "entrypoint"),
    [
        ("echo hi", ["sh", "/.bacalhau/start.sh", "sh"]),
        ("#!/usr/bin/env python3\nprint()", ["/usr/bin/env", "python3"]),
        ("#!/bin/bash -eu\necho", ["/bin/bash", "/.bacalhau/start.sh", "/bin/bash", "-eu"]),
        ("# a comment", ["sh", "/.bacalhau/start.sh", "sh"]),
    ],
)
def test_a_body_in_a_container_is_run_by_its_first_line(body: str, entrypoint: list[str]) -> None:
    job = job_of_cell(Cell("docker", body, image="i"), BOTH, shares_machine=True)
    assert job.task.engine.params["Entrypoint"] == [*entrypoint, "/.bacalhau/cell.sh"]
    assert kit_of(job)["cell.sh"] == body + "\n"


def test_without_a_body_it_is_exactly_docker_run() -> None:
    job = job_of_cell(
        Cell("docker", "\n", image="busybox", command=["echo", "hi"]), BOTH, shares_machine=True
    )
    assert job.task.engine.params == {"Image": "busybox", "Parameters": ["echo", "hi"]}


def test_a_cells_job_is_valid_waits_for_room_and_brings_outputs_back() -> None:
    job = job_of_cell(Cell("sh", "true"), BOTH, shares_machine=True)
    validate_submission(normalize_job(job))
    assert job.task.timeouts.queue_timeout == 24 * 3600
    assert [(path.name, path.path) for path in job.task.result_paths] == [("outputs", "/outputs")]
    assert job.task.publisher.type == "local"
    assert job.name == ""


def test_an_empty_body_and_variables_without_a_body_are_refused() -> None:
    with pytest.raises(BadRequest, match="no body"):
        job_of_cell(Cell("python", " \n"), BOTH, shares_machine=True)
    with pytest.raises(BadRequest, match="--in needs a cell body"):
        job_of_cell(Cell("docker", "", image="i", variables={"x": 1}), BOTH, shares_machine=True)


@pytest.mark.parametrize(
    ("cell", "target"),
    [
        (Cell("python", "1", variables={"x": bytes(LARGE + 1)}), "/inputs/.bacalhau-in/x.bytes"),
        (Cell("python", "1", image="i", variables={"x": bytes(LARGE + 1)}), "/.bacalhau-in/x.bytes"),
        (Cell("sh", "1", variables={"x": bytes(LARGE + 1)}), "/inputs/x"),
    ],
)
def test_a_large_variable_is_an_input_of_its_own(cell: Cell, target: str) -> None:
    job = job_of_cell(cell, BOTH, shares_machine=True)
    (large,) = [item for item in job.task.input_sources if isinstance(item, PendingInput)]
    assert large.target == target and large.content.size == LARGE + 1


def test_variables_that_are_large_together_do_not_all_travel_with_the_cell() -> None:
    variables = {f"v{number}": bytes(LARGE // 2) for number in range(4)}
    job = job_of_cell(Cell("python", "1", variables=variables), BOTH, shares_machine=True)
    assert sum(isinstance(item, PendingInput) for item in job.task.input_sources) == 2
