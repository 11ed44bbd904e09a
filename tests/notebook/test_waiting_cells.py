"""The card of a cell whose job waits: it says for what, follows the change, and the cell can be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel, Ran
from tests.services.common import wait_until
from tests.services.node import start_node

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel whose node has one core."""
    node = start_node(tmp_path / "repo", "-c", "Compute.AllocatedCapacity.CPU=1")
    kernel = Kernel(Repo.open(node.repo.path), tmp_path)
    try:
        kernel.run("%load_ext bacalhau_jupyter")
        yield kernel
    finally:
        kernel.close()
        node.stop()


def hog(client: Client, name: str) -> str:
    """Submit a job that takes the whole node for long."""
    task = {
        "Name": "main",
        "Engine": {"Type": "noop", "Params": {"Sleep": 600}},
        "Resources": {"CPU": "1"},
        "Timeouts": {"QueueTimeout": 3600},
    }
    return client.submit({"Name": name, "Type": "batch", "Count": 1, "Tasks": [task]}).id


def test_the_card_names_who_holds_the_cpu_and_follows_when_that_changes(small: Kernel) -> None:
    with Client(data_dir=str(small.repo.path)) as client:
        first = client.job(hog(client, "hog1"))
        assert wait_until(lambda: first.state.value == "Running", timeout_s=60)
        second = client.job(hog(client, "hog2"))

        def lines(ran: Ran) -> str:
            return "\n".join(display["text/plain"] for display in ran.displays)

        def act(ran: Ran) -> None:
            """Stop one after the other, as soon as the card names it."""
            for job, name in ((first, "hog1"), (second, "hog2")):
                if (
                    f"waiting for 1 CPU; `{name}` holds it, node has 1" in lines(ran)
                    and job.id not in stopped
                ):
                    stopped.append(job.id)
                    job.stop()

        stopped: list[str] = []
        ran = small.run("%%bacalhau sh --cpu 1\necho at last", on_output=act)
        assert ran.status == "ok", ran.traceback
        assert stopped == [first.id, second.id]
        assert ran.stdout == "at last\n"
        assert len(ran.display_ids) == 1
        assert "waiting" not in ran.displays[-1]["text/plain"]
        assert any("`hog2` holds it" in display[MIME]["phase"] for display in ran.displays)


def test_the_line_magic_explains_with_a_table_of_nodes(small: Kernel) -> None:
    with Client(data_dir=str(small.repo.path)) as client:
        holder = client.job(hog(client, "hog2"))
        assert wait_until(lambda: holder.state.value == "Running", timeout_s=60)
        waiting = client.job(hog(client, "patient"))
        assert wait_until(lambda: waiting.state.value == "Queued", timeout_s=60)
        ran = small.run(f"%bacalhau explain {waiting.id}")
        assert "waiting for 1 CPU; `hog2` holds it, node has 1" in ran.result["text/plain"]
        assert "<h4>What would make it run</h4>" in ran.result["text/html"]
        assert "job not found: j-nothing" in small.run("%bacalhau explain j-nothing").traceback
        waiting.stop()
        holder.stop()
