"""Results of official nodes reach the user of an orchestrator of ours, whichever publisher they took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.node.guests.cluster import Cluster, guest_cluster, image, module
from tests.node.joining.official_jobs import answer_of
from tests.services.official import BINARY, NO_BINARY
from tests.services.official_orchestrator import needs_official
from tests.services.s3 import S3Server
from tests.services.wasm_modules import printing

pytestmark = [needs_official, pytest.mark.timeout(600)]

DONE, FAILED = JobStateType.COMPLETED, JobStateType.FAILED
SCRIPT = "echo hi; printf 'a,b\\n1,2\\n' > /outputs/table.csv"
OUTPUTS = [{"Name": "outputs", "Path": "/outputs"}]


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.bucket()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, bucket: str) -> Iterator[Cluster]:
    """An orchestrator of ours with a bucket of its own, and an official node that has credentials, too."""
    if not BINARY:
        pytest.skip(NO_BINARY)
    settings = {"Bucket": bucket, "Region": "us-east-1", "Endpoint": s3_server.url, "Key": "lent/"}
    options = [
        word
        for name, value in settings.items()
        for word in ("-c", f"Publishers.Types.S3Managed.{name}={value}")
    ]
    credentials = s3_server.environment()
    with guest_cluster(tmp_path_factory.mktemp("cluster"), *options, env=credentials) as running:
        aws = {name: value for name, value in credentials.items() if name.startswith("AWS_")}
        running.guests("n-guest", variables=aws)
        running.wait_connected("n-guest")
        yield running


def published(cluster: Cluster, busybox: str, publisher: dict[str, Any]) -> str:
    """Run a job that publishes a table; return its ID."""
    job = cluster.run(image(busybox, SCRIPT, Publisher=publisher, ResultPaths=OUTPUTS))
    assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)
    return job


def files_of(cluster: Cluster, job: str) -> list[dict[str, Any]]:
    """List the files of a job's results as the panel does."""
    _, listed = answer_of(cluster.orchestrator, f"/api/v1/orchestrator/jobs/{job}/results/files")
    return list(listed["Results"])


def check(cluster: Cluster, job: str, place: Path) -> None:
    """Fetch the results, and read the table."""
    with cluster.client() as client:
        client.job(job).get(place)
        (table,) = place.rglob("table.csv")
        assert table.read_text() == "a,b\n1,2\n"
        frame = client.job(job).result().df("outputs/table.csv")
    assert frame.to_dict("list") == {"a": [1], "b": [2]}


def test_what_the_node_keeps_itself_is_fetched_from_it(
    cluster: Cluster, busybox_image: str, tmp_path: Path
) -> None:
    check(cluster, published(cluster, busybox_image, {"Type": "local"}), tmp_path / "got")


@pytest.mark.parametrize(
    ("allowed", "problem"), [("127.0.0.1", ""), ("192.0.2.1", "an address of this machine")]
)
def test_single_files_are_read_on_the_node_or_it_is_said_why_not(
    tmp_path: Path, allowed: str, problem: str
) -> None:
    with guest_cluster(tmp_path, "-c", f"Compute.AllowListedAddresses={allowed}") as running:
        running.guests("n-guest")
        running.wait_connected("n-guest")
        job = running.run(module(printing("hi"), Publisher={"Type": "local"}))
        (listing,) = files_of(running, job)
    assert ("stdout" in [each["Path"] for each in listing["Files"] or ()]) is (not problem), listing
    assert problem in (listing.get("Problem") or "")


def test_the_node_publishes_to_a_bucket_with_its_own_credentials(
    cluster: Cluster, busybox_image: str, tmp_path: Path, s3_server: S3Server, bucket: str
) -> None:
    params = {"Bucket": bucket, "Key": "own/{jobID}", "Region": "us-east-1", "Endpoint": s3_server.url}
    job = published(cluster, busybox_image, {"Type": "s3", "Params": params})
    check(cluster, job, tmp_path / "got")


def test_the_node_publishes_to_the_orchestrators_bucket_by_a_link_of_ours(
    cluster: Cluster, busybox_image: str, tmp_path: Path
) -> None:
    check(cluster, published(cluster, busybox_image, {"Type": "s3managed"}), tmp_path / "got")
