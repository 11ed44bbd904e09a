"""What ``node list`` says of a node."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.grammar.nodes.columns import nodes_table
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.records.node import ComputeNodeInfo, NodeInfo, NodeState

T4 = [GPU(index=index, vendor="NVIDIA", name="Tesla T4", memory=15360) for index in range(2)]
MI = GPU(vendor="AMD/ATI", name="MI210", memory=65520)


@pytest.mark.parametrize(
    ("most", "free", "shown"),
    [
        ([], [], "0 / 0"),
        (T4, T4[1:], "1 / 2 (2 × Tesla T4 16 GB)"),
        ([*T4, MI], [], "0 / 3 (2 × Tesla T4 16 GB, 1 × MI210 69 GB)"),
        ([GPU(vendor="Intel")], [], "0 / 1 (1 × Intel)"),
        ([GPU(name="a\x1b[2J\nb")], [], "0 / 1 (1 × a\\x1b[2J\\nb)"),
    ],
)
def test_the_column_of_gpus_says_how_many_are_free_and_which_they_are(
    most: list[GPU], free: list[GPU], shown: str
) -> None:
    compute = ComputeNodeInfo(
        max_capacity=Resources(gpu=len(most), gpus=most),
        available_capacity=Resources(gpu=len(free), gpus=free),
    )
    table = nodes_table([NodeState(info=NodeInfo(node_id="n-1", compute_node_info=compute))])
    assert table.rows[0][list(table.columns).index("gpu")] == shown
