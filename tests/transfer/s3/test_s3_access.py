"""Who gets AWS credentials: AWS and listed servers. Seen from servers that a job names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ConfigurationError, Forbidden
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.publishers.s3 import S3Publisher
from bacalhau_jupyter.sources.s3 import S3Source
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.s3.links.presign import S3Presigner
from bacalhau_jupyter.transfer.s3.reading.get import Getter
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object, find_objects
from bacalhau_jupyter.transfer.s3.reading.results import S3Ranges
from bacalhau_jupyter.transfer.s3.requests.access import S3Access
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location, parse_location
from tests.services.node import TEST_SERVERS
from tests.services.s3 import S3Server
from tests.transfer.core.test_reach import answers

TOKEN = "session-token-of-the-node"


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "https://s3.amazonaws.com",
        "https://s3.eu-west-1.amazonaws.com/",
        "https://s3-us-west-2.amazonaws.com",
        "https://s3.dualstack.us-gov-west-1.amazonaws.com:443",
        "https://s3-fips.us-east-1.amazonaws.com",
        "https://bucket.s3.eu-west-1.amazonaws.com",
        "https://s3.cn-north-1.amazonaws.com.cn",
        "https://bucket.vpce-0a1b-c2d3.s3.us-east-1.vpce.amazonaws.com",
        "https://minio.example.org:9000",
        "HTTPS://MINIO.example.org:9000/",
    ],
)
def test_aws_and_listed_servers_get_credentials(endpoint: str) -> None:
    assert S3Access(["https://minio.example.org:9000"], environ={}).signs_for(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://s3.amazonaws.com",
        "https://s3.amazonaws.com:8443",
        "https://s3.amazonaws.com.evil.org",
        "https://evil.org/s3.amazonaws.com",
        "https://s3.amazonaws.com@evil.org",
        "https://evil-s3.amazonaws.com.cn.org",
        "https://abc123.execute-api.us-east-1.amazonaws.com",
        "https://s3.us-east-1.elb.amazonaws.com",
        "https://bucket.s3-website-us-east-1.amazonaws.com",
        "https://xs3.amazonaws.com",
        "https://s3amazonaws.com",
        "http://minio.example.org:9000",
        "https://minio.example.org",
        "https://minio.example.org:9000/sub",
        "https://x.minio.example.org:9000",
        "https://user@minio.example.org:9000",
        "https://storage.googleapis.com",
        "ftp://minio.example.org:9000",
        "x",
    ],
)
def test_nobody_else_does(endpoint: str) -> None:
    assert not S3Access(["https://minio.example.org:9000"], environ={}).signs_for(endpoint)


def test_the_endpoint_of_botocore_and_the_managed_bucket_get_credentials_too() -> None:
    access = S3Access(environ={"AWS_ENDPOINT_URL_S3": "http://localhost:9000"})
    assert access.signs_for("http://localhost:9000/")
    settings = {"Publishers.Types.S3Managed.Endpoint": "https://managed.lan"}
    assert S3Access.of(settings.get).signs_for("https://managed.lan")


def test_an_invalid_listed_server_is_named_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match=r"S3\.TrustedEndpoints") as caught:
        S3Access(["https://user:secret@minio.lan"])
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "endpoint", ["http://user:secret@minio.lan", "http://minio.lan/?secret=1", "http://a/#secret"]
)
def test_an_endpoint_with_a_password_or_a_query_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(BadRequest, match="is not the base URL of an S3 server") as caught:
        parse_location({"Bucket": "b", "Endpoint": endpoint}, "Test")
    assert "secret" not in caught.value.message + caught.value.hint


# ---- what a server sees


LISTING = (
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>'
    b"<Contents><Key>d/x</Key><Size>4</Size><ETag>&quot;e&quot;</ETag></Contents></ListBucketResult>"
)


class Spy:
    """A server that speaks enough S3 for one object, and keeps what it was sent."""

    def __init__(self, redirect: str = "") -> None:
        self.heads: list[dict[str, str]] = []
        spy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                spy.heads.append({name.lower(): value for name, value in self.headers.items()})
                body = LISTING if "list-type" in self.path else b"data"
                self.send_response(307 if redirect else 200)
                if redirect:
                    self.send_header("Location", redirect + self.path)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def received(self) -> str:
        """Everything that it saw."""
        return repr(self.heads)

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join(30)
        self.server.server_close()


@pytest.fixture
def spy() -> Iterator[Spy]:
    made = Spy()
    yield made
    made.close()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The node's credentials, of which no other server may see any."""
    values = {
        "AWS_ACCESS_KEY_ID": "KEYIDOFTHENODE",
        "AWS_SECRET_ACCESS_KEY": "the-secret-itself",
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], TOKEN


def source_of(tmp_path: Path, *trusted: str, addresses: Any = TEST_SERVERS) -> S3Source:
    settings = {"S3.TrustedEndpoints": list(trusted), "Compute.AllowListedAddresses": addresses}
    return S3Source(PluginOptions(node_id="n-1", data_dir=tmp_path, settings=settings.get))


async def everything(source: S3Source, endpoint: str, directory: Path, key: str) -> bytes:
    """Do all that a node does for an input: bid, size, identity, fetch."""
    params = {"Bucket": "b", "Key": key, "Endpoint": endpoint, "Region": "us-east-1"}
    spec = InputSource(source=SpecConfig(type="s3", params=params), target="/inputs")
    execution = Execution(id="e-1", job=Job(count=1))
    try:
        bid = await source.bid(execution, spec)
        assert bid.accepted, bid.reason
        await source.size(execution, spec)
        await source.identity(execution, spec)
        directory.mkdir()
        mount = await source.fetch(FetchRequest(execution, spec, directory))
        return (mount.path / "x").read_bytes()
    finally:
        await source.close()


@pytest.mark.parametrize("key", ["d/x", "d/"])
async def test_a_server_that_a_job_names_sees_nothing_of_the_nodes_credentials(
    spy: Spy, secrets: tuple[str, ...], tmp_path: Path, key: str
) -> None:
    assert await everything(source_of(tmp_path), spy.url, tmp_path / "in", key) == b"data"
    assert len(spy.heads) >= 2
    assert not [word for word in (*secrets, "authorization", "x-amz-security-token") if word in spy.received]


@pytest.mark.parametrize("key", ["d/x", "d/"])
async def test_a_listed_server_sees_who_asks(
    spy: Spy, secrets: tuple[str, ...], tmp_path: Path, key: str
) -> None:
    # The control: with the same server listed, the same requests carry the key's ID and the token.
    assert await everything(source_of(tmp_path, spy.url), spy.url, tmp_path / "in", key) == b"data"
    assert all("KEYIDOFTHENODE" in head["authorization"] for head in spy.heads)
    assert all(head["x-amz-security-token"] == TOKEN for head in spy.heads)
    assert "the-secret-itself" not in spy.received


@pytest.mark.parametrize("key", ["d/x", "d/"])
async def test_a_redirect_takes_no_credentials_elsewhere(
    spy: Spy, secrets: tuple[str, ...], tmp_path: Path, key: str
) -> None:
    away = Spy(redirect=spy.url)
    try:
        with pytest.raises(BacalhauError):
            await everything(source_of(tmp_path, away.url), away.url, tmp_path / "in", key)
        assert "KEYIDOFTHENODE" in away.received
        assert not [word for word in (*secrets, "authorization") if word in spy.received]
    finally:
        away.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254"]
)
async def test_a_server_on_this_machine_is_refused_when_bidding(spy: Spy, tmp_path: Path, host: str) -> None:
    endpoint = f"http://{host}:{spy.url.rpartition(':')[2]}"
    source = source_of(tmp_path, addresses=[])
    with pytest.raises(AssertionError, match=r"which jobs may not name .*S3\.TrustedEndpoints"):
        await everything(source, endpoint, tmp_path / "in", "d/x")
    assert spy.heads == []


@pytest.mark.parametrize("rounds", [[["127.0.0.1"]], [["192.0.2.1"], ["127.0.0.1"]]])
def test_a_name_that_leads_to_this_machine_is_refused_before_each_connection(
    spy: Spy, secrets: tuple[str, ...], rounds: list[list[str]]
) -> None:
    port = spy.url.rpartition(":")[2]
    access = S3Access(reach=Reach(lookup=answers(*rounds)), environ={})
    location = S3Location("b", "d/x", "us-east-1", f"http://files.example:{port}")
    clients = S3Clients("Test", access=access)
    try:
        # boto3's own way (the second round finds the name server's mind changed between judging and connecting).
        with pytest.raises(Forbidden, match=r"files\.example leads to 127\.0\.0\.1"):
            find_objects(clients, location)
        getter = Getter(clients, location)
        with pytest.raises(Forbidden), getter.open(S3Object("d/x", 4)):
            pass
        getter.close()
    finally:
        clients.close()
    assert spy.heads == []


async def test_the_clients_of_this_module_reach_a_server_by_name(spy: Spy, secrets: tuple[str, ...]) -> None:
    # The control of the test above: the same calls arrive where the address may be connected to.
    port = spy.url.rpartition(":")[2]
    access = S3Access(reach=Reach(["files.example"], lookup=answers(["127.0.0.1"])), environ={})
    location = S3Location("b", "d/x", "us-east-1", f"http://files.example:{port}")
    clients = S3Clients("Test", access=access)
    assert [item.key for item in find_objects(clients, location)] == ["d/x"]
    getter = Getter(clients, location)
    with getter.open(S3Object("d/x", 4)) as answer:
        assert answer.read() == b"data"
    getter.close()
    clients.close()
    assert {head["host"] for head in spy.heads} == {f"files.example:{port}"}


async def test_no_link_is_signed_for_a_server_that_is_not_listed(spy: Spy, secrets: tuple[str, ...]) -> None:
    reference = SpecConfig(type="s3", params={"Bucket": "b", "Key": "x.tar.gz", "Endpoint": spy.url})
    assert S3Presigner(60, access=S3Access(environ={})).sign(reference) == reference
    listed = S3Presigner(60, access=S3Access([spy.url], environ={})).sign(reference)
    assert "KEYIDOFTHENODE" in listed.params["PreSignedURL"]
    assert spy.heads == []


async def test_publishing_to_a_server_that_is_not_listed_is_refused_when_bidding(
    spy: Spy, secrets: tuple[str, ...], tmp_path: Path
) -> None:
    spec = SpecConfig(type="s3", params={"bucket": "b", "key": "k", "endpoint": spy.url})
    for trusted, accepted in (([], False), ([spy.url], True)):
        settings = {"S3.TrustedEndpoints": trusted}
        publisher = S3Publisher(PluginOptions(node_id="n-1", data_dir=tmp_path, settings=settings.get))
        bid = await publisher.bid(Execution(), spec)
        assert bid.accepted is accepted
        assert accepted or "S3.TrustedEndpoints" in bid.reason
        await publisher.close()
    assert spy.heads == []


async def test_a_person_gives_credentials_to_no_server_that_only_a_node_names(
    spy: Spy, secrets: tuple[str, ...]
) -> None:
    reference = SpecConfig(
        type="s3", params={"Bucket": "b", "Key": "d/x", "Endpoint": spy.url, "Region": "r"}
    )
    for access, seen in ((S3Access(environ={}), False), (S3Access([spy.url], environ={}), True)):
        spy.heads.clear()
        ranges = S3Ranges(reference, access)
        assert await ranges.size() == 4
        await ranges.close()
        assert ("KEYIDOFTHENODE" in spy.received) is seen


async def test_a_public_bucket_of_any_server_is_read_and_a_private_one_names_the_key(
    s3_credentials: S3Server, tmp_path: Path
) -> None:
    public = s3_credentials.bucket({"d/x": b"open"}, public=True)
    private = s3_credentials.bucket({"d/x": b"closed"})
    access = S3Access(reach=Reach(TEST_SERVERS), environ={})
    clients = S3Clients("S3InputSource", access=access)
    location = S3Location(public, "d/", "us-east-1", s3_credentials.url)
    assert [item.key for item in find_objects(clients, location)] == ["d/x"]
    for key in ("d/", "d/x"):
        with pytest.raises(Forbidden) as caught:
            find_objects(clients, S3Location(private, key, "us-east-1", s3_credentials.url))
        assert "S3.TrustedEndpoints" in caught.value.hint
    clients.close()
