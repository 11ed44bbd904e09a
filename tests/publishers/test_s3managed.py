"""Results in the orchestrator's bucket: the orchestrator signs, the node that publishes has no rights at all."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.results import LocalResults
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.publishers.s3managed import S3ManagedPublisher
from bacalhau_jupyter.transfer.archive.tar_gz import unpack_blocking
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.s3.links.managed import ManagedBucket
from bacalhau_jupyter.transfer.s3.requests.location import S3Location
from tests.clock import ManualClock
from tests.node.test_node import client, noop, result_url, run
from tests.publishers.test_s3 import call, get, request, results, run_job, stored, until_offered
from tests.services.node import running_node
from tests.services.node_fixtures import node_config, node_factory
from tests.services.s3 import S3Server
from tests.services.waiting import found, until
from tests.transfer.helpers import tree

__all__ = ["node_config", "node_factory"]

MakeConfig = Callable[..., Config]


class Links:
    """An orchestrator that signs (`plugins.engine.UploadLinks`), or hands out one link."""

    def __init__(self, bucket: ManagedBucket | None = None, url: str = "") -> None:
        self.bucket = bucket
        self.url = url
        self.asked = 0

    async def problem(self) -> str:
        return self.bucket.problem() if self.bucket else ""

    async def keep(self, execution_id: str, archive: Path) -> bool:
        return False

    async def link(self, job_id: str, execution_id: str) -> str:
        self.asked += 1
        return self.bucket.upload_url(job_id, execution_id) if self.bucket else self.url


class Waits(list[float]):
    """Takes the time of waits, and spends none."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def publisher(links: Links, sleep: Callable[[float], Awaitable[object]] | None = None) -> S3ManagedPublisher:
    options = PluginOptions(node_id="n-1", data_dir=Path(), upload_links=links)
    return S3ManagedPublisher(options, Waits() if sleep is None else sleep)


def asked(root: Path) -> PublishRequest:
    """A request whose results lie in an execution's directory."""
    (root / "e-1").mkdir()
    return request(results(root / "e-1"), {})


def forget_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("prefix", "key"), [("", "j-1/e-1"), ("runs", "runs/j-1/e-1"), ("a/b/", "a/b/j-1/e-1")]
)
async def test_the_node_needs_no_credentials_and_the_orchestrator_two_rights(
    tmp_path: Path, s3_credentials: S3Server, monkeypatch: pytest.MonkeyPatch, prefix: str, key: str
) -> None:
    bucket = s3_credentials.bucket()
    lender = f"lender-of-{bucket}"
    s3_credentials.user(lender, "lender-secret")
    s3_credentials.grant(bucket, lender, "s3:PutObject", "s3:GetObject")
    for name, value in s3_credentials.environment(lender, "lender-secret").items():
        monkeypatch.setenv(name, value)
    managed = ManagedBucket(S3Location(bucket, prefix, "us-east-1", s3_credentials.url), 60)
    assert managed.problem() == ""
    forget_credentials(monkeypatch)
    work = asked(tmp_path)
    reference = await publisher(Links(managed)).publish(work)
    assert reference == SpecConfig(type="s3managed", params={"JobID": "j-1", "ExecutionID": "e-1"})
    assert stored(s3_credentials, bucket).keys() == {key + ".tar.gz"}
    assert sorted(path.name for path in (tmp_path / "e-1").iterdir()) == ["results"]
    signed = managed.sign(reference)
    assert (signed.type, signed.params["Managed"], signed.params["SourceSpec"]) == ("s3PreSigned", True, {})
    assert "X-Amz-Expires=60" in signed.params["PreSignedURL"]
    with urllib.request.urlopen(signed.params["PreSignedURL"], timeout=60) as answer:
        unpack_blocking(io.BytesIO(answer.read()), tmp_path / "out")
    assert tree(tmp_path / "out")["outputs/deep/a b é.txt"][1] == b"data"
    # One right less, and it is the orchestrator's matter to mend.
    s3_credentials.grant(bucket, lender, "s3:GetObject")
    with pytest.raises(BacalhauError, match="managed bucket said AccessDenied") as caught:
        await publisher(Links(managed)).publish(work)
    assert "orchestrator" in caught.value.hint
    s3_credentials.grant(bucket, lender, "s3:PutObject")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(managed.sign(reference).params["PreSignedURL"], timeout=60)


class Receiver:
    """A server that takes PUTs; ``answers`` are the statuses of the first ones, 0 for hanging up."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.heads: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    async def take(self, request: web.Request) -> web.StreamResponse:
        assert request.method == "PUT"
        self.heads.append(dict(request.headers))
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            await request.content.readexactly(10)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.bodies.append(await request.read())
        return web.Response(status=status)

    async def server(self) -> TestServer:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{name:.*}", self.take)
        server = TestServer(app)
        await server.start_server()
        return server


async def test_an_upload_is_tried_again_with_growing_waits_and_fresh_links(tmp_path: Path) -> None:
    receiver, waits = Receiver(503, 0, 429), Waits()
    server = await receiver.server()
    links = Links(url=str(server.make_url("/up/e-1.tar.gz?X-Amz-Signature=secret")))
    work = asked(tmp_path)
    (work.directory / "outputs/big").write_bytes(os.urandom(3_000_000))
    reports: list[Reading] = []
    work = PublishRequest(work.execution, work.directory, reports.append)
    await publisher(links, waits).publish(work)
    await server.close()
    assert waits == [1.0, 2.0, 4.0]
    assert links.asked == 4
    assert {head["Content-Type"] for head in receiver.heads} == {"application/octet-stream"}
    assert {int(head["Content-Length"]) for head in receiver.heads} == {len(receiver.bodies[-1])}
    assert not any("Transfer-Encoding" in head or "Authorization" in head for head in receiver.heads)
    unpack_blocking(io.BytesIO(receiver.bodies[-1]), tmp_path / "out")
    big = (tmp_path / "out/outputs/big").read_bytes()
    assert (
        hashlib.sha256(big).digest() == hashlib.sha256((work.directory / "outputs/big").read_bytes()).digest()
    )
    sent = [it for it in reports if it.phase == "publishing"]
    assert (sent[-1].done, sent[-1].total) == (len(receiver.bodies[-1]), len(receiver.bodies[-1]))


@pytest.mark.parametrize(
    ("status", "waits", "reason"),
    [
        (503, [1.0, 2.0, 4.0, 8.0, 16.0], "the server of the managed bucket said 503"),
        (403, [], "the server of the managed bucket said 403"),
        (0, [1.0, 2.0, 4.0, 8.0, 16.0], "the connection to 127.0.0.1 broke"),
    ],
)
async def test_an_upload_that_stays_refused_leaves_no_copy_and_shows_no_secret(
    tmp_path: Path, status: int, waits: list[float], reason: str
) -> None:
    receiver, waited = Receiver(*[status] * 9), Waits()
    server = await receiver.server()
    links = Links(url=str(server.make_url("/up/e-1.tar.gz?X-Amz-Signature=secret")))
    with pytest.raises(BacalhauError) as caught:
        await publisher(links, waited).publish(asked(tmp_path))
    await server.close()
    assert caught.value.message == f"could not upload the results: {reason}"
    assert "secret" not in str(caught.value.envelope())
    assert waited == waits
    assert sorted(path.name for path in (tmp_path / "e-1").iterdir()) == ["results"]


class References:
    """Stands for results, for an orchestrator elsewhere (`plugins.options.ResultReferences`)."""

    problem = ""

    def reference(self, execution_id: str, node_id: str) -> SpecConfig:
        raise NotImplementedError


def elsewhere(links: Links, allowed: list[str]) -> S3ManagedPublisher:
    """The publisher of a node whose orchestrator, in another process, chooses the links."""
    return S3ManagedPublisher(
        PluginOptions(
            node_id="n-1",
            data_dir=Path(),
            settings={"Compute.AllowListedAddresses": allowed}.get,
            upload_links=links,
            results=References(),
        ),
        Waits(),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("allowed", [True, False])
async def test_an_orchestrator_elsewhere_can_not_let_a_node_write_to_services_of_its_machine(
    tmp_path: Path, host: str, allowed: bool
) -> None:
    receiver = Receiver()
    server = await receiver.server()
    links = Links(url=f"http://{host}:{server.port}/v1/kv/anything")
    managed = elsewhere(links, ["127.0.0.0/8"] if allowed else [])
    if allowed:  # the control: what the owner allows is reached, so the refusals are no accident
        await managed.publish(asked(tmp_path))
    else:
        with pytest.raises(BacalhauError, match="an address of this machine"):
            await managed.publish(asked(tmp_path))
    await server.close()
    assert len(receiver.bodies) == int(allowed)


async def test_a_name_of_an_upload_is_judged_by_the_address_that_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    server = await receiver.server()
    real_lookup = socket.getaddrinfo

    def lead_here(host: str, *args: Any, **options: Any) -> Any:
        return real_lookup("127.0.0.1" if host == "results.example.org" else host, *args, **options)

    monkeypatch.setattr(Reach, "of", lambda configured: Reach(lookup=lead_here))
    managed = elsewhere(Links(url=f"http://results.example.org:{server.port}/up"), [])
    with pytest.raises(
        BacalhauError, match=r"results\.example\.org leads to 127\.0\.0\.1, an address of this machine"
    ):
        await managed.publish(asked(tmp_path))
    await server.close()
    assert not receiver.bodies


async def test_a_receiver_that_is_gone_is_said(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/up"
    with pytest.raises(BacalhauError, match=r"could not upload the results: 127\.0\.0\.1 can't be reached"):
        await publisher(Links(url=url)).publish(asked(tmp_path))


async def test_an_orchestrator_without_credentials_is_found_out_before_a_job_runs(
    s3_credentials: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_credentials(monkeypatch)
    managed = ManagedBucket(S3Location("b", "", "us-east-1", s3_credentials.url), 60)
    availability = await publisher(Links(managed)).probe()
    assert (availability.available, availability.may_change) == (False, True)
    assert "the orchestrator has no AWS credentials" in availability.problem


def test_links_to_aws_name_the_bucket_in_the_host_and_sign_no_body(
    s3_credentials: S3Server,
) -> None:
    url = ManagedBucket(S3Location("my-results", "p", "eu-west-1"), 3600).upload_url("j", "e")
    assert url.startswith("https://my-results.s3")
    assert "/p/j/e.tar.gz?" in url
    assert "X-Amz-SignedHeaders=host&" in url
    # A checksum in the link would be one of nothing.
    assert "checksum" not in url.lower()


def test_managed_results_of_an_orchestrator_without_its_bucket_are_an_error_in_words(tmp_path: Path) -> None:
    links = LocalResults(tmp_path, b"k" * 32, 60, ManualClock())
    mine = SpecConfig(type="s3managed", params={"JobID": "j", "ExecutionID": "e"})
    with pytest.raises(ConfigurationError) as caught:
        links.sign(mine, "http://127.0.0.1:1")
    assert caught.value.message == "S3 managed publisher is not available, cannot fetch execution results"
    nameless = SpecConfig(type="s3managed", params={"JobID": "j"})
    with pytest.raises(BacalhauError, match="names no job and execution"):
        ManagedBucket(S3Location("b", "", "r"), 60).sign(nameless)


# ---- through a node


def configured(server: S3Server, bucket: str) -> dict[str, Any]:
    names = {"Bucket": bucket, "Region": "us-east-1", "Endpoint": server.url, "Key": "lent/"}
    return {f"Publishers.Types.S3Managed.{name}": value for name, value in names.items()}


def test_a_job_publishes_to_the_orchestrators_bucket_and_anybody_gets_it(
    tmp_path: Path, s3_server: S3Server, node_factory: Any
) -> None:
    bucket = s3_server.bucket()
    options = [
        part for name, value in configured(s3_server, bucket).items() for part in ("-c", f"{name}={value}")
    ]
    node = node_factory(*options, env=s3_server.environment())
    until_offered(node, "s3managed", "Publishers")
    task = {
        "Engine": {"Command": ["/bin/sh", "-c", 'echo hi; echo data > "$BACALHAU_OUTPUTS/f"']},
        "ResultPaths": [{"Name": "outputs", "Path": "/outputs"}],
        "Publisher": {"Type": "s3managed"},
    }
    job = run_job(node, task)
    (key,) = stored(s3_server, bucket)
    assert key.startswith(f"lent/{job}/e-")
    (item,) = call(node, "GET", f"/api/v1/orchestrator/jobs/{job}/results")["Items"]
    assert (item["Type"], item["Params"]["Managed"]) == ("s3PreSigned", True)
    done = get(node, job, tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got/stdout").read_text() == "hi\n"
    assert (tmp_path / "got/outputs/f").read_text() == "data\n"


async def test_without_a_bucket_results_stay_on_the_orchestrators_own_disk(
    tmp_path: Path, node_config: MakeConfig
) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        # A node starts before slow plug-ins have answered, and these may be slow for want of the processor.
        await until(lambda: "s3managed" in (node.info().compute_node_info.publishers or []))
        job = await run(session, noop(Publisher={"Type": "s3managed"}))
        async with session.get(await result_url(session, job)) as answer:
            unpack_blocking(io.BytesIO(await answer.read()), tmp_path / "out")
        assert (tmp_path / "out/stdout").read_text() == "hi\n"
        kept = settings.received_dir(node.config, node.repo)
        assert len(found(kept, "*.tar.gz")) == 1
        # The copy that was packed first is gone.
        assert not found(settings.compute_dir(node.config, node.repo), "*.tar.gz")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"Bucket": "b"}, "region cannot be empty"),
        ({"Region": "eu-west-1"}, "bucket cannot be empty"),
        ({"Endpoint": "http://127.0.0.1:1"}, "bucket cannot be empty, region cannot be empty"),
        (
            {"Bucket": "b", "Region": "r", "PreSignedURLExpiration": "0s"},
            "expiration must be greater than zero",
        ),
        ({"Bucket": "b", "Region": "r", "PreSignedURLExpiration": "169h"}, "not be longer than 7 days"),
        ({"Bucket": "a/b", "Region": "r"}, "'a/b' is not the name of a bucket"),
        ({"Bucket": "b", "Region": "r", "Endpoint": "minio:9000"}, "endpoint must be an http or https URL"),
    ],
)
async def test_a_bucket_that_is_described_by_halves_keeps_the_node_from_starting(
    node_config: MakeConfig, settings: dict[str, str], reason: str
) -> None:
    config = node_config(
        **{f"Publishers__Types__S3Managed__{name}": value for name, value in settings.items()}
    )
    with pytest.raises(ConfigurationError, match="invalid S3 managed publisher configuration") as caught:
        async with running_node(config):
            pytest.fail("it started")
    assert reason in caught.value.message
