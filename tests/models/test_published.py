"""Where an execution's results may lie in a bucket: what the publisher fills in, the orchestrator recognises."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.published import is_own_publication, published_key

IDS = {"job_id": "j-1", "execution_id": "e-1", "node_id": "n-1"}
NOON = datetime.datetime(2026, 11, 21, 12, 34, 56)
ENDPOINT = "https://minio.example.org"
KEY = "out/{jobID}/{date}{time}/{executionID}-{nodeID}"


def wants(**params: Any) -> SpecConfig:
    return SpecConfig(type="s3", params={"bucket": "b", "key": KEY, "endpoint": ENDPOINT, **params})


def says(key: str, **params: Any) -> SpecConfig:
    return SpecConfig(type="s3", params={"Bucket": "b", "Key": key, "Endpoint": ENDPOINT, **params})


OWN = "out/j-1/20261121123456/e-1-n-1.tar.gz"


def test_the_place_that_the_publisher_names_is_the_executions_own() -> None:
    assert published_key(KEY, **IDS, now=NOON, archive=True) == OWN
    assert is_own_publication(wants(), says(OWN, VersionID="v", ChecksumSHA256="x"), **IDS)
    plain = wants(encoding="plain")
    assert is_own_publication(plain, says(OWN.replace(".tar.gz", "/")), **IDS)


@pytest.mark.parametrize(
    "reference",
    [
        says("secret/everything.tar.gz"),
        says("out/j-2/20261121123456/e-1-n-1.tar.gz"),
        says("out/j-1/20261121123456/e-2-n-1.tar.gz"),
        says("out/j-1/20261121123456/e-1-n-2.tar.gz"),
        says(OWN.replace("20261121123456", "../../../123456")),
        says(OWN.replace("20261121123456", "2026112112345\u0666")),
        says(OWN.removesuffix(".tar.gz")),
        says(OWN + "/x.tar.gz"),
        says("x/" + OWN),
        says(OWN + "\n"),
        says(""),
        says(OWN, Bucket="other"),
        says(OWN, Endpoint="https://evil.example.org"),
        says(OWN, Endpoint=""),
        says(OWN, bucket="other"),
        says(OWN, Key=7),
        SpecConfig(type="s3", params={}),
        SpecConfig(type="local", params=says(OWN).params),
    ],
)
def test_another_place_is_not(reference: SpecConfig) -> None:
    assert not is_own_publication(wants(), reference, **IDS)


def test_a_region_that_the_job_names_is_the_only_one() -> None:
    assert not is_own_publication(wants(region="eu-west-1"), says(OWN, Region="us-east-1"), **IDS)
    assert is_own_publication(wants(region="eu-west-1"), says(OWN, Region="eu-west-1"), **IDS)
    assert is_own_publication(wants(), says(OWN, Region="us-east-1"), **IDS)


def test_a_job_that_publishes_elsewhere_has_no_place_in_a_bucket() -> None:
    for publisher in (SpecConfig(), SpecConfig(type="local"), SpecConfig(type="ipfs", params=wants().params)):
        assert not is_own_publication(publisher, says(OWN), **IDS)


@given(
    st.lists(
        st.sampled_from(
            ["{jobID}", "{executionID}", "{nodeID}", "{date}", "{time}", "a", "/", ".", "*", "{", "(x"]
        ),
        min_size=1,
        max_size=8,
    ).map("".join),
    st.booleans(),
)
def test_whatever_a_publisher_fills_in_is_recognised(key: str, archive: bool) -> None:
    filled = published_key(key, **IDS, now=NOON, archive=archive)
    publisher = wants(key=key, encoding="gzip" if archive else "plain")
    assert is_own_publication(publisher, says(filled), **IDS)
