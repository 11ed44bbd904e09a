"""Cells that were made for the Python of one machine, on a node of another that has a Python of its own."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs import python_body
from bacalhau_jupyter.client.jobs.job import Job, JobFailed
from bacalhau_jupyter.client.jobs.options import JobOptions
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cells import job_of_cell
from tests.node.joining.official_jobs import answer_of
from tests.node.joining.test_ours import address_of, placer, runner
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory

ELSEWHERE = "/elsewhere/bin/python3"
BODY = "import json, sys\nprint(json.dumps([sys.executable, sys.path]))"


def cell_job(client: Client, language: str, body: str, **options: Any) -> JobModel:
    """Return the job of a cell as a kernel of another machine would make it: here is only one machine."""
    described = {"Executable": ELSEWHERE, "Prefixes": ["/elsewhere"], "Paths": ["/elsewhere/more"]}
    cell = Cell(language=language, body=body, engine="process", options=JobOptions(**options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(python_body, "own_python", lambda: described)
        patch.setattr(sys, "executable", ELSEWHERE)
        return job_of_cell(
            cell, client.info, shares_machine=True, environment=lambda _: {"Environment": "0" * 64}
        )


def printed(job: Job) -> str:
    return job.result().stdout


@pytest.mark.process
def test_a_cell_for_a_chosen_node_runs_with_the_python_of_that_node(
    node_factory: NodeFactory,
) -> None:
    orchestrator = placer(node_factory)
    node = runner(node_factory, address_of(orchestrator))
    with Client(orchestrator.url) as client:
        chosen = f"name={node_id(node)}"
        job = client.submit(cell_job(client, "python", BODY, constraints=chosen))
        executable, path = json.loads(printed(job))
        assert executable != ELSEWHERE
        assert not [each for each in path if each.startswith("/elsewhere")]
        assert "the node's own Python" in job.result().runtime
        assert printed(client.submit(cell_job(client, "sh", "echo $0", target="all"))).startswith("inputs/")
        # Nobody chose a node: the job was made for the Python that its notebook has.
        with pytest.raises(JobFailed, match="shows jobs only Python environments"):
            client.submit(cell_job(client, "python", BODY)).result()


def node_id(node: ServedNode) -> str:
    return str(answer_of(node, "/api/v1/agent/node")[1]["NodeID"])
