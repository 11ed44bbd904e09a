"""The link in TLS, with the official program at either end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.node.guests.cluster import TIMEOUT_S, Cluster, guest_cluster, module
from tests.node.joining.official_jobs import answer_of, joined, shell
from tests.services.common import wait_until
from tests.services.node_fixtures import NodeFactory
from tests.services.official import BINARY, NO_BINARY
from tests.services.official_orchestrator import OfficialOrchestrator, needs_official
from tests.services.wasm_modules import printing

pytestmark = [needs_official, pytest.mark.timeout(600)]

DONE, FAILED = JobStateType.COMPLETED, JobStateType.FAILED


@dataclass
class Certificates:
    """Files: what a server shows, who signed that, and somebody who did not."""

    certificate: Path
    key: Path
    authority: Path
    stranger: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    place = tmp_path_factory.mktemp("certificates")
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = Certificates(*(place / name for name in ("cert.pem", "key.pem", "ca.pem", "stranger.pem")))
    issued.cert_chain_pems[0].write_to_path(files.certificate)
    issued.private_key_pem.write_to_path(files.key)
    authority.cert_pem.write_to_path(files.authority)
    stranger.cert_pem.write_to_path(files.stranger)
    return files


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Cluster]:
    """An orchestrator of ours whose link is in TLS."""
    if not BINARY:
        pytest.skip(NO_BINARY)
    shown = (
        "-c",
        f"Orchestrator.TLS.ServerCert={certificates.certificate}",
        "-c",
        f"Orchestrator.TLS.ServerKey={certificates.key}",
    )
    with guest_cluster(tmp_path_factory.mktemp("cluster"), *shown) as running:
        yield running


@pytest.mark.parametrize("first", [False, True], ids=["after-the-greeting", "tls-first"])
def test_an_official_node_that_trusts_the_authority_joins_and_works(
    cluster: Cluster, certificates: Certificates, first: bool
) -> None:
    name = f"n-guest-{first}".lower()
    guest = cluster.guests(name, Compute__TLS__CACert=certificates.authority, Compute__TLS__RequireTLS=first)
    try:
        cluster.wait_connected(name)
        job = cluster.run(module(printing("encrypted"), Publisher={"Type": "s3managed"}))
        assert cluster.wait_for(job, DONE, FAILED) is DONE, cluster.executions(job)
        with cluster.client() as client:
            assert client.job(job).result().text("stdout") == "encrypted"
    finally:
        guest.close()


@pytest.mark.parametrize("trusts", ["nobody", "a-stranger"])
def test_an_official_node_that_does_not_trust_the_certificate_stays_out(
    cluster: Cluster, certificates: Certificates, trusts: str
) -> None:
    trusted = {"Compute__TLS__CACert": certificates.stranger} if trusts == "a-stranger" else {}
    guest = cluster.guests(f"n-{trusts}", **trusted)
    try:
        assert wait_until(lambda: "x509" in guest.log() or guest.has_ended, timeout_s=TIMEOUT_S), guest.log()
        assert "unknown authority" in guest.log()
        assert f"n-{trusts}" not in cluster.connections()
    finally:
        guest.close()


@pytest.fixture(scope="module")
def official(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[OfficialOrchestrator]:
    """An official orchestrator whose link is in TLS."""
    if not BINARY:
        pytest.skip(NO_BINARY)
    settings = {
        "Orchestrator.TLS.ServerCert": str(certificates.certificate),
        "Orchestrator.TLS.ServerKey": str(certificates.key),
        "Orchestrator.TLS.CACert": str(certificates.authority),
    }
    running = OfficialOrchestrator(tmp_path_factory.mktemp("official"), settings)
    yield running
    running.close()


def test_a_node_of_ours_joins_an_official_orchestrator_that_it_trusts(
    official: OfficialOrchestrator, certificates: Certificates, node_factory: NodeFactory
) -> None:
    node = joined(node_factory, official, "-c", f"Compute.TLS.CACert={certificates.authority}")
    official.wait_connected(node.repo.node_name())
    job = official.submit(shell("encrypted", "true"))
    assert official.wait_for(job, "Completed", "Failed") == "Completed"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ((), "can't be trusted: "),
        (("-c", "Compute.TLS.CACert={stranger}"), "can't be trusted: "),
        # Official servers greet in plain text first.
        (
            ("-c", "Compute.TLS.CACert={authority}", "-c", "Compute.TLS.RequireTLS=true"),
            "no TLS connection to the NATS server",
        ),
    ],
    ids=["nobody", "a-stranger", "tls-first"],
)
def test_why_a_node_of_ours_does_not_join_it_is_one_sentence(
    official: OfficialOrchestrator,
    certificates: Certificates,
    node_factory: NodeFactory,
    settings: tuple[str, ...],
    sentence: str,
) -> None:
    words = [
        word.format(stranger=certificates.stranger, authority=certificates.authority) for word in settings
    ]
    node = joined(node_factory, official, *words)

    def problem() -> str:
        _, facts = answer_of(node, "/api/v1/agent/debug")
        return str(facts["Compute"]["Problem"])

    assert wait_until(lambda: sentence in problem(), timeout_s=TIMEOUT_S), problem()
    assert official.token not in problem()
