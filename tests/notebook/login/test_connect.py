"""``%bacalhau connect`` in a real kernel: the next cell goes elsewhere, a job that runs stays where it is."""

from __future__ import annotations

import json
from pathlib import Path

from bacalhau_jupyter.config.repo import NODE_MARKER
from tests.notebook.conftest import Kernel
from tests.services.common import wait_until
from tests.services.node_fixtures import NodeFactory, node_factory
from tests.services.official import replayed_cluster

__all__ = ["node_factory"]

LOAD = "%load_ext bacalhau_jupyter"


def test_a_switch_needs_no_restart_and_a_running_job_stays_with_its_cluster(
    kernel: Kernel, node_factory: NodeFactory, tmp_path: Path
) -> None:
    other = node_factory()
    token = tmp_path / "token"
    token.write_text(other.key)
    assert kernel.run(LOAD).status == "ok"
    ran = kernel.run("%%bacalhau sh --detach --name stays\nsleep 600")
    assert ran.status == "ok", ran.traceback
    kernel.run("from bacalhau_jupyter import Client; mine = Client(); running = mine.job('stays')")
    ran = kernel.run(f"%bacalhau connect {other.url} --token-file {token}")
    assert ran.status == "ok", ran.traceback
    assert other.key not in json.dumps(ran.result) + ran.stdout
    ran = kernel.run("%%bacalhau sh --engine process --name elsewhere\necho there")
    assert ran.status == "ok" and "there" in ran.stdout, ran.traceback
    listed = kernel.run("print([job.name for job in Client().jobs()])").stdout
    assert listed.strip() == "['elsewhere']"
    # The handle from before asks the cluster that runs its job, also after the connection broke.
    kernel.run("mine.close()")
    assert wait_until(lambda: "Running" in kernel.run("print(running.state.value)").stdout, timeout_s=60)
    kernel.run("running.stop()")
    assert kernel.run("%bacalhau connect --own").status == "ok"
    listed = kernel.run("print([job.name for job in Client().jobs()])").stdout
    assert listed.strip() == "['stays']"


def test_programs_that_a_cell_starts_go_along(kernel: Kernel, tmp_path: Path) -> None:
    marked = {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_PORT": "1", NODE_MARKER: str(kernel.repo.path)}
    kernel.run(f"import os; os.environ.update({marked!r})")
    kernel.run(LOAD)
    with replayed_cluster() as official:
        ran = kernel.run(f"%bacalhau connect {official.url}\nprint(os.environ.get('BACALHAU_API_HOST'))")
        assert ran.status == "ok", ran.traceback
        assert "None" in ran.stdout
        listed = kernel.run("!{__import__('sys').executable} -m bacalhau_jupyter node list").stdout
        assert "n-test" in listed
