"""What may pass the gateway, under which spelling, and as what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.server import paths


@pytest.mark.parametrize(
    ("raw", "sent"),
    [
        ("/api/v1/agent/alive", "/api/v1/agent/alive"),
        ("/api/v1/orchestrator/jobs/", "/api/v1/orchestrator/jobs"),
        ("/%61pi/v1/agent/alive", "/api/v1/agent/alive"),
        ("/api/v1/orchestrator/jobs/caf%C3%A9", "/api/v1/orchestrator/jobs/caf%C3%A9"),
        ("/api/v1/orchestrator/jobs/a%20b%3Fc%23", "/api/v1/orchestrator/jobs/a%20b%3Fc%23"),
    ],
)
def test_a_path_has_one_spelling(raw: str, sent: str) -> None:
    assert paths.parse(raw).path == sent


@pytest.mark.parametrize(
    "raw",
    [
        "/api/v1/../../metrics",
        "/api/v1/%2e%2e/metrics",
        "/api/v1/.%2E/metrics",
        "/api/v1/./agent",
        "/api/v1//agent",
        "/api/v1/agent%2fnode",
        "/api/v1/agent%5cnode",
        "/api/v1/%252e%252e/x",
        "/api/v1/a%00b",
        "/api/v1/a%0d%0ab",
        "/api/v1/%ff",
        "/api/v1/50%",
        "/api/v1/%zz",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(raw: str) -> None:
    with pytest.raises(BadRequest):
        paths.parse(raw)


@pytest.mark.parametrize(
    "raw", ["/", "/api", "/api/v1", "/api/v1/", "/api/v2/agent/alive", "/API/v1/x", "/metrics"]
)
def test_only_the_api_is_passed(raw: str) -> None:
    with pytest.raises(NotFound):
        paths.parse(raw)


@given(st.text(alphabet="/.%25eEfF2cC5a\\:@ \x00é", max_size=40))
def test_whatever_passes_stays_below_the_api_and_means_the_same_when_read_again(tail: str) -> None:
    try:
        target = paths.parse("/api/v1/" + tail)
    except BacalhauError:
        return
    assert target.path.startswith("/api/v1/")
    assert "//" not in target.path
    assert not {".", ".."}.intersection(target.path.split("/"))
    assert paths.parse(target.path) == target


def test_what_belongs_to_jupyter_is_taken_out_of_the_query() -> None:
    query = "token=secret&Token=x&labels=a%3Db&labels=c&_xsrf=2&next_token=t&follow="
    assert paths.parse("/api/v1/x", query).query == "labels=a%3Db&labels=c&next_token=t&follow="


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "orchestrator/jobs", "read"),
        ("GET", "orchestrator/jobs/j-1/logs", "read"),
        ("PUT", "orchestrator/jobs", "execute"),
        ("POST", "orchestrator/jobs", "execute"),
        ("PUT", "orchestrator/jobs/", "execute"),
        ("PUT", "orchestrator/j%6Fbs", "execute"),
        ("PUT", "orchestrator/jobs/j-1/rerun", "execute"),
        ("PUT", "orchestrator/jobs/diff", "write"),
        ("DELETE", "orchestrator/jobs/j-1", "write"),
        ("PUT", "orchestrator/nodes/n-1", "write"),
        ("POST", "auth/shared_key", "write"),
    ],
)
def test_reading_is_read_starting_work_is_execute_and_the_rest_is_write(
    method: str, path: str, action: str
) -> None:
    assert paths.parse(f"/api/v1/{path}").action(method) == action
