"""Download links in ``/results`` answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bacalhau_jupyter.server.gateway.links import lead_through_gateway

CLUSTER = "http://127.0.0.1:1234"


def led(url: Any) -> Any:
    body = json.dumps({"NextToken": "", "Items": [{"Type": "urlDownload", "Params": {"URL": url}}]})
    answer = json.loads(lead_through_gateway(body.encode(), CLUSTER, "/user/x/bacalhau"))
    return answer["Items"][0]["Params"]["URL"]


def test_a_link_into_the_cluster_leads_through_the_gateway_and_keeps_its_signature() -> None:
    url = f"{CLUSTER}/api/v1/compute/results/e-1.tar.gz?expires=9&signature=a-b_c%3D"
    assert led(url) == "/user/x/bacalhau/api/v1/compute/results/e-1.tar.gz?expires=9&signature=a-b_c%3D"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6001/e-1.tar.gz",
        "http://127.0.0.1:1234.evil/api/v1/compute/results/e-1.tar.gz",
        "https://127.0.0.1:1234/api/v1/compute/results/e-1.tar.gz",
        "https://bucket.example/e-1.tar.gz?X-Amz-Signature=1",
        f"{CLUSTER}/api/v1/agent/config",
        f"{CLUSTER}/api/v1/compute/results/../../agent/config",
        "http://[broken",
        7,
        None,
    ],
)
def test_any_other_link_is_left_alone(url: Any) -> None:
    assert led(url) == url


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"Items": null}', b'{"Items": [1, {"Params": 2}]}']
)
def test_an_answer_that_is_not_a_list_of_results_is_not_changed(body: bytes) -> None:
    assert lead_through_gateway(body, CLUSTER, "/bacalhau") == body
