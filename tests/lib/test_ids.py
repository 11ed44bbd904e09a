"""IDs as people see them."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.lib.ids import host_of, short_id

UUID = "761f5690-d9cb-416a-be49-a0a336e0a202"


@pytest.mark.parametrize(
    ("identifier", "shown", "host"),
    [
        (f"n-{UUID}", "n-761f5690", ""),
        (f"j-{UUID}", "j-761f5690", ""),
        (f"n-{UUID}-gpu1", "gpu1", "gpu1"),
        (f"n-{UUID}-gpu-box_2", "gpu-box_2", "gpu-box_2"),
        # Whatever can't be a host's name is shown as it came.
        (f"j-{UUID}-gpu1", f"j-{UUID}-gpu1", ""),
        (f"n-{UUID}-", f"n-{UUID}-", ""),
        (f"n-{UUID}-GPU", f"n-{UUID}-GPU", ""),
        (f"n-{UUID}-<b>", f"n-{UUID}-<b>", ""),
        (f"n-{UUID}-{'a' * 41}", f"n-{UUID}-{'a' * 41}", ""),
        ("laptop-gpu1", "laptop-gpu1", ""),
        ("", "", ""),
    ],
)
def test_the_node_of_a_docker_host_has_the_name_of_the_host(identifier: str, shown: str, host: str) -> None:
    assert (short_id(identifier), host_of(identifier)) == (shown, host)
