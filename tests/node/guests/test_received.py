"""Results of official nodes on the disk of an orchestrator of ours that has no bucket: sent by PUT, read by anybody."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.node.guests.cluster import TIMEOUT_S, Cluster, image
from tests.services.official import BINARY, quiet_environment
from tests.services.official_orchestrator import needs_official
from tests.services.waiting import found

pytestmark = [needs_official, pytest.mark.timeout(600)]

DONE, FAILED = JobStateType.COMPLETED, JobStateType.FAILED
SCRIPT = (
    "echo hi; printf 'a,b\\n1,2\\n' > /outputs/table.csv; dd if=/dev/urandom of=/outputs/large bs=1M count=3"
)
OUTPUTS = [{"Name": "outputs", "Path": "/outputs"}]


def archives(cluster: Cluster) -> list[Path]:
    return [path for path in found(cluster.orchestrator.repo.path, "*.tar.gz") if "received" in path.parts]


def test_an_official_node_sends_its_result_and_either_program_reads_it(
    cluster: Cluster, busybox_image: str, tmp_path: Path
) -> None:
    job = cluster.run(image(busybox_image, SCRIPT, Publisher={"Type": "s3managed"}, ResultPaths=OUTPUTS))
    assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)
    (execution,) = cluster.executions(job)
    assert [path.name for path in archives(cluster)] == [f"{execution.id}.tar.gz"]
    with cluster.client() as client:
        client.job(job).get(tmp_path / "ours")
        assert client.job(job).result().text("outputs/table.csv") == "a,b\n1,2\n"
    got = subprocess.run(
        [BINARY, "job", "get", job, "--output-dir", str(tmp_path)],
        env={**quiet_environment(tmp_path), **cluster.orchestrator.client_env()},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert got.returncode == 0, got.stdout + got.stderr
    for place in (tmp_path, tmp_path / "ours"):
        assert (place / "stdout").read_text() == "hi\n"
        assert (place / "outputs/table.csv").read_text() == "a,b\n1,2\n"
        assert (place / "outputs/large").stat().st_size == 3 << 20
    url = f"{cluster.orchestrator.url}/api/v1/orchestrator/jobs/{job}/record"
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=TIMEOUT_S) as answer:
        assert answer.status == 200
    assert archives(cluster) == []
