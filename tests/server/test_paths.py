"""What may pass the gateway, under which spelling, and as what."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.auth.capabilities import ANY_PRINCIPAL, NOTHING, needed_capability
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Forbidden, NotFound
from bacalhau_jupyter.server.gateway import paths
from tests.conformance.contract import all_routes_of_the_api


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
        "/api/v1/..;/metrics",
        "/api/v1/..;x=y/metrics",
        "/api/v1/;/agent",
        "/api/v1/.;/agent",
        "/api/v1/orchestrator/jobs;x",
        "/api/v1/..%3b/metrics",
        "/api/v1/%2e%2e%3Bx/metrics",
        "/api/v1/..%20/metrics",
        "/api/v1/.../metrics",
        "/api/v1/%EF%BC%8E%EF%BC%8E/metrics",
        "/api/v1/a%EF%BC%8Fb",
        "/api/v1/a%EF%BC%BCb",
        "/api/v1/a\\b",
        "/api/v1/..\\metrics",
        "/api/v1/%c0%ae%c0%ae/metrics",
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


def test_a_semicolon_in_a_name_travels_encoded() -> None:
    # Cut off as a parameter, another name would be asked for.
    assert paths.parse("/api/v1/orchestrator/jobs/a%3Bb").path == "/api/v1/orchestrator/jobs/a%3Bb"


def as_other_servers_read(path: str) -> str:
    """Read a path the way lenient servers do: decoded again and again, parameters cut off, dots resolved."""
    for _ in range(3):
        path = unquote(path)
    path = unicodedata.normalize("NFKC", path).replace("\\", "/")
    return posixpath.normpath("/".join(part.partition(";")[0] for part in path.split("/")))


def test_a_path_passed_on_as_it_came_would_leave_the_api() -> None:
    # What the fuzz below looks for: with these the reader above does leave.
    for raw in ("/api/v1/..;/../x", "/api/v1/%252e%252e/../x", "/api/v1/..%5c../x"):
        assert not as_other_servers_read(raw).startswith("/api/v1")


PIECES = [
    "..",
    ".",
    ";",
    "%2e",
    "%2E",
    "%252e",
    "/",
    "%2f",
    "%5c",
    "\\",
    "%3b",
    "a",
    "x=1",
    "%00",
    "%ef%bc%8e",
    "%c0%ae",
    " ",
]


@settings(max_examples=2000)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_passes_stays_below_the_api_however_the_cluster_reads_it(tail: str) -> None:
    try:
        target = paths.parse("/api/v1/" + tail)
    except BacalhauError:
        return
    assert as_other_servers_read(target.path).startswith("/api/v1/")
    assert as_other_servers_read(target.path).count("/") == target.path.count("/")


@pytest.mark.parametrize(
    "raw",
    [
        "/api/v1/agent/environments",
        "/api/v1/agent/environments/",
        "/api/v1/agent/environments/x",
        "/api/v1/agent/%65nvironments",
        "/api/v1/Agent/Environments",
        "/%61pi/v1/agent/environments",
        "/api/v1/agent/environments%3Bx",
        "/api/v1/agent/packages",
        "/api/v1/agent/packages/x",
        "/api/v1/Agent/Packages",
        "/api/v1/agent/%70ackages",
        "/api/v1/agent/%ef%bd%85nvironments",
    ],
)
def test_what_is_for_the_node_s_own_user_is_passed_for_nobody(raw: str) -> None:
    with pytest.raises(Forbidden):
        paths.parse(raw)


@given(st.text(alphabet="/.%25eEfF2cC5a\\:@ \x00é;", max_size=40))
def test_whatever_passes_stays_below_the_api_and_means_the_same_when_read_again(tail: str) -> None:
    try:
        target = paths.parse("/api/v1/" + tail)
    except BacalhauError:
        return
    assert target.path.startswith("/api/v1/")
    assert "//" not in target.path
    assert not {".", ".."}.intersection(target.path.split("/"))
    assert paths.parse(target.path) == target


FILE = "/api/v1/orchestrator/jobs/j/results/files/e/"


@pytest.mark.parametrize(
    "name", ["a%0Ab", "caf%E9.txt", "caf%25E9.txt", "a%2520b", "a%5Cb", "a%3Bb", "100%25", "%C3%A9"]
)
def test_a_result_file_may_have_any_name_that_leads_nowhere_else(name: str) -> None:
    assert paths.parse(f"{FILE}outputs/{name}").path == f"{FILE}outputs/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "%252e%252e",
        "a%2Fb",
        "a%252Fb",
        "a%25252Fb",
        "..%5C..",
        "%2e.%3Bx",
        "a%00",
        "a%2500",
        ".",
        "%ef%bc%8e",
    ],
)
def test_a_result_file_whose_name_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        paths.parse(f"{FILE}outputs/{name}/x")


@settings(max_examples=2000)
@given(st.lists(st.sampled_from([*PIECES, "%E9", "%0A", "%25", "%5C"]), min_size=1, max_size=12).map("".join))
def test_whatever_name_passes_stays_among_the_files_however_the_cluster_reads_it(tail: str) -> None:
    try:
        target = paths.parse(FILE + tail)
    except BacalhauError:
        return
    assert as_other_servers_read(target.path).startswith(FILE.rstrip("/"))
    assert paths.parse(target.path) == target


def test_what_belongs_to_jupyter_is_taken_out_of_the_query() -> None:
    query = "token=secret&Token=x&labels=a%3Db&labels=c&_xsrf=2&local=true&next_token=t&follow="
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
        ("DELETE", "orchestrator/jobs/j-1/record", "write"),
        ("PUT", "orchestrator/nodes/n-1", "write"),
        ("POST", "auth/shared_key", "write"),
    ],
)
def test_reading_is_read_starting_work_is_execute_and_the_rest_is_write(
    method: str, path: str, action: str
) -> None:
    assert paths.parse(f"/api/v1/{path}").action(method) == action


def test_reading_asks_jupyter_for_read_where_it_needs_a_reading_capability_and_nowhere_else() -> None:
    """Every route that the gateway passes: a Jupyter user who may only read changes and sends nothing."""
    wrong = {}
    for method, route in all_routes_of_the_api():
        path = re.sub(r"\{[^}]+\}", "x-1", route)
        try:
            target = paths.parse(path)
        except BacalhauError:
            continue
        capability = needed_capability(method, route)
        reads = capability.startswith("read:") or (
            capability in (NOTHING, ANY_PRINCIPAL) and method in ("GET", "HEAD")
        )
        if (target.action(method) == "read") != reads:
            wrong[method, route] = capability
    assert wrong == {}
