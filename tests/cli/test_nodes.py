"""What ``node list`` says of a node."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.grammar.nodes.columns import nodes_table
from bacalhau_jupyter.models.jobs.resources import GPU, Resources
from bacalhau_jupyter.models.records.node import (
    BuildVersionInfo,
    ComputeNodeInfo,
    ConnectionState,
    NodeConnection,
    NodeInfo,
    NodeState,
)

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


def test_what_a_node_runs_and_its_link_are_columns_where_they_tell_something() -> None:
    ours = NodeState(
        info=NodeInfo(node_id="near", jupyter_version="0.1.0"),
        connection=NodeConnection.CONNECTED,
        connection_state=ConnectionState(connected_since="2026-11-29T20:55:34.7Z"),
        link="memory",
    )
    assert "link" not in nodes_table([ours]).columns
    assert "link" in nodes_table([ours], wide=True).columns
    lost = NodeState(
        info=NodeInfo(node_id="far", bacalhau_version=BuildVersionInfo(git_version="v1.9.3")),
        connection_state=ConnectionState(
            disconnected_since="2026-11-29T21:00:00Z", last_error="no heartbeat for 1m\x1b[2J"
        ),
        link="nats",
        notices=["its clock is an hour ahead"],
    )
    table = nodes_table([ours, lost], groups=())
    assert table.columns[4:] == ("kind", "release", "link", "since", "note")
    assert table.rows[0][4:] == ("bacalhau-jupyter", "0.1.0", "same process", "2026-11-29 20:55", "")
    assert table.rows[1][4:8] == ("official", "v1.9.3", "NATS", "2026-11-29 21:00")
    note = str(table.rows[1][8])
    assert note.startswith("no heartbeat for 1m") and note.endswith("; its clock is an hour ahead")
    assert note.isprintable()
