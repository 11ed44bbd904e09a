"""Descriptions of nodes that can't be kept, shown or given jobs."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import BuildVersionInfo, NodeInfo
from bacalhau_jupyter.node.version import build_version
from bacalhau_jupyter.orchestrator.peers.described import problem_of, resources_problem, too_old
from tests.orchestrator.support import node_info


def amounts(**members: float) -> NodeInfo:
    info = node_info("n-1")
    compute = replace(info.compute_node_info, max_capacity=Resources(**members))  # type: ignore[arg-type]
    return replace(info, compute_node_info=compute)


def labelled(labels: dict[str, str]) -> NodeInfo:
    return replace(node_info("n-1"), labels=labels)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (labelled({f"l{n}": "x" for n in range(2000)}), "has 2,000 labels"),
        (labelled({"l" * 500: "x"}), "name of a label has 500 characters"),
        (node_info("n-1", zone="x" * 5000), "label zone has 5,000 characters"),
        (node_info("n-1", zone="red\x1b[31m"), r"holds an invisible character: red\x1b[31m"),
        (labelled({"a\u202eb": "x"}), r"holds an invisible character: a\u202eb"),
        (replace(node_info("n-1"), features=["x" * 300_000]), "description has 300,"),
        (replace(node_info("n-1"), jupyter_version="1\n2"), "name of a version holds an invisible"),
        (amounts(cpu=-1.0), "amount of CPU that can't be: -1.0"),
        (amounts(cpu=float("inf")), "amount of CPU that can't be: inf"),
        (amounts(cpu=float("nan")), "amount of CPU that can't be: nan"),
        (amounts(memory=-5), "amount of memory that can't be: -5"),
        (amounts(disk=1 << 70), "amount of disk that can't be: 1180591620717411303424"),
        (amounts(gpu=-1), "negative number of GPUs"),
    ],
)
def test_a_description_that_can_not_be_kept_or_shown_is_refused_in_one_sentence(
    info: NodeInfo, words: str
) -> None:
    problem = problem_of(info)
    assert words in problem
    assert problem.isprintable() and len(problem) < 1000


def test_an_ordinary_description_is_taken() -> None:
    info = node_info(
        "n-3f0c", Resources(cpu=64.0, memory=1 << 40, gpu=1, gpus=[GPU(name="H200")]), zone="eu-Süd"
    )
    assert problem_of(info) == ""


def test_amounts_of_a_heartbeat_are_checked_alike() -> None:
    assert resources_problem("free capacity", Resources(cpu=-0.1)) != ""
    assert resources_problem("free capacity", Resources()) == ""
    assert "name of a GPU holds an invisible" in resources_problem(
        "q", Resources(gpus=[GPU(name="a\x1b[2J")])
    )
    assert "name of a GPU has 5,000" in resources_problem("q", Resources(gpus=[GPU(vendor="x" * 5000)]))
    assert resources_problem("q", Resources(gpus=[GPU()] * 500)) == ""
    assert resources_problem("q", Resources(gpus=[GPU()] * 1000)).startswith("the node has 1,000 GPUs")


def version(text: str, *protocols: str) -> NodeInfo:
    info = replace(node_info("n-1"), bacalhau_version=BuildVersionInfo(git_version=text))
    return replace(info, supported_protocols=list(protocols) or None)


@pytest.mark.parametrize(
    "info", [version("v1.5.2", "bprotocol/v2", "ncl/v1"), version("v1.9.3", "bprotocol/v2")]
)
def test_a_version_without_todays_protocol_is_too_old(info: NodeInfo) -> None:
    assert info.bacalhau_version.git_version in too_old(info)
    assert "v1.6.0 or later does" in too_old(info)


@pytest.mark.parametrize(
    "info",
    [
        version("v1.6.0", "bprotocol/v2", "ncl/v1"),
        version("v1.9.3-9-ge28960c75", "ncl/v1"),
        version("v2.0.0"),
        version(""),
        version("v0.0.0-xxxxxxx", "ncl/v1"),
        version("main"),
        replace(node_info("n-1"), bacalhau_version=build_version()),
    ],
)
def test_a_version_that_speaks_it_or_is_not_known_gets_jobs(info: NodeInfo) -> None:
    assert too_old(info) == ""
