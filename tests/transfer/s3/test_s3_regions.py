"""Which region is signed for, what counts as AWS, and that AWS gets checksums whatever it is called."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.sources.s3 import parse_input
from bacalhau_jupyter.transfer.s3.requests.access import is_aws, region_of
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location
from bacalhau_jupyter.transfer.s3.writing.upload import ObjectWriter

DOCUMENTED = "https://s3.us-west-2.amazonaws.com"
NAMES = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a profile with a region and a server; no other AWS settings are there."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "config"
    lines = ["[profile lab]", "region = eu-north-1", "endpoint_url = http://127.0.0.1:9"]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return "lab"


@pytest.mark.parametrize(
    ("variables", "location", "region"),
    [
        ({}, S3Location("b"), "us-east-1"),
        ({"AWS_PROFILE": "lab"}, S3Location("b"), "eu-north-1"),
        ({"AWS_PROFILE": "lab", "AWS_DEFAULT_REGION": "eu-west-3"}, S3Location("b"), "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "eu-west-3", "AWS_REGION": "ap-south-1"}, S3Location("b"), "ap-south-1"),
        ({"AWS_REGION": "ap-south-1"}, S3Location("b", endpoint=DOCUMENTED), "us-west-2"),
        ({"AWS_REGION": "ap-south-1"}, S3Location("b", endpoint="https://minio.lan"), "ap-south-1"),
        ({"AWS_REGION": "ap-south-1"}, S3Location("b", region="sa-east-1", endpoint=DOCUMENTED), "sa-east-1"),
    ],
)
def test_the_nearest_word_on_the_region_counts(
    profile: str,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    location: S3Location,
    region: str,
) -> None:
    assert variables.get("AWS_PROFILE", profile) == profile
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    clients = S3Clients("Test")
    assert clients.region(location) == region
    assert clients.client(location).meta.region_name == region
    clients.close()


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_PROFILE": "lab"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
    ],
)
def test_a_server_that_the_aws_settings_name_stands_for_aws(
    profile: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    assert profile == "lab"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    clients = S3Clients("Test")
    assert clients.client(S3Location("b")).meta.endpoint_url == "http://127.0.0.1:9"
    clients.close()


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.amazonaws.com", ""),
        (DOCUMENTED, "us-west-2"),
        ("https://s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com/", "eu-west-1"),
        ("https://s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://s3-accelerate.amazonaws.com", ""),
    ],
)
def test_the_servers_of_aws_say_their_region(endpoint: str, region: str) -> None:
    assert is_aws(endpoint)
    assert region_of(endpoint) == region


@pytest.mark.parametrize(
    "endpoint", ["http://s3.us-west-2.amazonaws.com", "https://s3.us-west-2.amazonaws.com.evil.org"]
)
def test_what_only_looks_like_aws_says_nothing(endpoint: str) -> None:
    assert not is_aws(endpoint)
    assert region_of(endpoint) == ""


@pytest.mark.parametrize(("endpoint", "is_summed"), [(DOCUMENTED, True), ("https://minio.lan", False)])
def test_the_documented_server_of_aws_gets_and_gives_a_checksum(
    profile: str, endpoint: str, is_summed: bool
) -> None:
    assert profile == "lab"
    clients = S3Clients("Test")
    location = S3Location("bucket", "key", endpoint=endpoint)
    sent: list[Any] = []
    body = b"what is stored"
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()

    class Raw:
        def stream(self, **_: object) -> list[bytes]:
            return [b""]

    def answer(request: Any, **_: object) -> Any:
        from botocore.awsrequest import AWSResponse

        sent.append(request)
        return AWSResponse(request.url, 200, {"ETag": '"e"', "x-amz-checksum-sha256": digest}, Raw())

    # botocore's own door: everything is as for the wire, and nothing leaves this machine.
    clients.client(location).meta.events.register("before-send.s3", answer)
    with ObjectWriter(clients, location, checksum=is_aws(endpoint)) as writer:
        writer.write(body)
    clients.close()
    (request,) = sent
    assert request.url.startswith(f"{endpoint}/bucket/key")
    # Over https the checksum follows the body.
    trailer = request.headers.get("x-amz-trailer", b"")
    assert (trailer in (b"x-amz-checksum-sha256", "x-amz-checksum-sha256")) is is_summed
    assert writer.result.sha256 == (digest if is_summed else "")


@pytest.mark.parametrize("text", ["{hex}", "0x{hex}", "{base64}"])
def test_a_checksum_is_read_as_the_documents_and_as_s3_write_it(text: str) -> None:
    digest = hashlib.sha256(b"data")
    expected = base64.b64encode(digest.digest()).decode()
    params = {
        "Bucket": "b",
        "Key": "k",
        "ChecksumSHA256": text.format(hex=digest.hexdigest(), base64=expected),
    }
    assert parse_input(InputSource(source=SpecConfig(type="s3", params=params))).sha256 == expected
