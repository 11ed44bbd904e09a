from __future__ import annotations

import json

import pytest

from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.orchestrator.base import ExecutionQuery, HistoryQuery, JobQuery, NodeQuery
from tests.api.conftest import Api

JOBS = "/api/v1/orchestrator/jobs"


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_submitting_hands_on_the_job_the_force_and_the_clients_ids(api: Api, method: str) -> None:
    body = {
        "job": {"NAME": "a", "Type": "batch", "unknown": 1},
        "Force": True,
        "Credential": None,
        "namespace": "",
    }
    headers = {"X-Bacalhau-Installationid": "i", "X-BACALHAU-INSTANCEID": "k"}
    async with api.client.request(method, f"{JOBS}?namespace=ignored", json=body, headers=headers) as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "JobID": "j-1",
            "EvaluationID": "v",
            "Warnings": ["unknown: unknown field (it is ignored)"],
        }
    ((name, job, force, client, principal),) = api.orchestrator.calls
    assert (name, job.name, job.type, force, principal) == ("submit", "a", "batch", True, "owner")
    assert client == {
        "bacalhau.org/client.installation.id": "i",
        "bacalhau.org/client.instance.id": "k",
    }


@pytest.mark.parametrize(
    ("path", "call"),
    [
        (
            f"{JOBS}?namespace=&next_token=&order_by=created_at&reverse=False&limit=5",
            ("list_jobs", JobQuery(order_by="created_at", limit=5)),
        ),
        (
            f"{JOBS}?labels=a%3Db&LABELS=c&Limit=3&reverse=t&namespace=*&next_token=T",
            (
                "list_jobs",
                JobQuery(namespace="*", labels=("a=b", "c"), limit=3, reverse=True, next_token="T"),
            ),
        ),
        (f"{JOBS}/j-1?job_version=4&namespace=ns", ("get_job", "j-1", "ns", 4)),
        (f"{JOBS}/my%20job", ("get_job", "my job", "", 0)),
        (
            f"{JOBS}/j-1/history?event_type=all&limit=10&since=5&execution_id=e-1&all_job_versions=true&next_token=x",
            (
                "history",
                "j-1",
                HistoryQuery(
                    all_versions=True, since=5, event_type="all", execution_id="e-1", limit=10, next_token="x"
                ),
            ),
        ),
        (
            f"{JOBS}/j-1/executions?job_version=2&order_by=created_at&reverse=1&limit=20",
            ("executions", "j-1", ExecutionQuery(version=2, order_by="created_at", reverse=True, limit=20)),
        ),
        (f"{JOBS}/j-1/versions?namespace=ns", ("versions", "j-1", "ns")),
        (
            "/api/v1/orchestrator/nodes?labels=a&filter-approval=approved&filter-status=connected&order_by=id&limit=1",
            (
                "nodes",
                NodeQuery(labels=("a",), limit=1, order_by="id", approval="approved", status="connected"),
            ),
        ),
        ("/api/v1/orchestrator/nodes/n-1", ("node", "n-1")),
    ],
)
async def test_a_read_binds_its_query(api: Api, path: str, call: tuple[object, ...]) -> None:
    async with api.client.get(path) as answer:
        assert answer.status == 200
    assert api.orchestrator.calls == [call]


async def test_include_adds_history_and_executions_of_the_returned_version(api: Api) -> None:
    async with api.client.get(f"{JOBS}/a?include=executions%2Chistory,nonsense") as answer:
        assert set(await answer.json()) == {"Job", "History", "Executions"}
    assert api.orchestrator.calls[1:] == [
        ("history", "j-1", HistoryQuery(namespace="default", version=2, limit=100)),
        ("executions", "j-1", ExecutionQuery(namespace="default", version=2)),
    ]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("j-1?namespace=ns", {"reason": "because"}, "because"),
        ("j-1?namespace=ns&reason=query", {"reason": "because"}, "because"),
        ("j-1?namespace=ns&reason=query", {}, "query"),
        ("j-1?namespace=ns&reason=query", None, "query"),
    ],
)
async def test_stopping_takes_the_reason_from_the_body_or_else_from_the_query(
    api: Api, path: str, body: object, reason: str
) -> None:
    async with api.client.delete(f"{JOBS}/{path}", json=body) as answer:
        assert await answer.json() == {"EvaluationID": "v"}
    assert api.orchestrator.calls == [("stop", "j-1", "ns", reason, "owner")]


async def test_deleting_a_job_has_a_path_of_its_own_which_official_servers_lack(api: Api) -> None:
    async with api.client.delete(f"{JOBS}/j-1/record?namespace=ns") as answer:
        assert answer.status == 200
    assert api.orchestrator.calls == [("delete", "j-1", "ns", "owner")]


async def test_a_job_that_can_not_be_deleted_is_a_conflict(api: Api) -> None:
    api.orchestrator.fail = Conflict("job j-1 is Running and can't be deleted")
    async with api.client.delete(f"{JOBS}/j-1/record") as answer:
        assert answer.status == 409


async def test_rerun_diff_and_node_changes_come_from_the_body(api: Api) -> None:
    async with api.client.put(
        f"{JOBS}/j-1/rerun?namespace=q", json={"JobVersion": 2, "Namespace": "ns"}
    ) as answer:
        assert (await answer.json())["JobVersion"] == 3
    async with api.client.put(f"{JOBS}/diff", json={"Job": {"Name": "a"}}) as answer:
        assert await answer.json() == {"Diff": "+ x", "Warnings": None}
    for method in ("PUT", "POST"):
        change = {"Action": "reject", "Message": "m", "NodeID": "n-1"}
        async with api.client.request(method, "/api/v1/orchestrator/nodes/n-1", json=change) as answer:
            assert await answer.json() == {"Success": True}
    assert api.orchestrator.calls[0] == ("rerun", "j-1", "ns", 2, "", "owner")
    assert api.orchestrator.calls[2:] == [("change_node", "n-1", "reject", "m")] * 2


async def test_angle_brackets_and_ampersands_are_escaped_and_pretty_indents(api: Api) -> None:
    async with api.client.get(f"{JOBS}/j-1") as answer:
        plain = await answer.text()
    assert "\\u003ca \\u0026 b\\u003e" in plain
    assert plain.endswith("}\n")
    async with api.client.get(f"{JOBS}/j-1?pretty") as answer:
        pretty = await answer.text()
    assert pretty.startswith('{\n  "Job": {\n')
    assert json.loads(pretty) == json.loads(plain)


async def test_an_error_of_the_orchestrator_becomes_the_official_envelope(api: Api) -> None:
    api.orchestrator.fail = Conflict(
        "job already exists: a", component="JobStore", hint="h", details={"k": "v"}
    )
    async with api.client.put(JOBS, json={"Job": {}}, headers={"X-Request-ID": "r-1"}) as answer:
        assert answer.status == 409
        assert answer.headers["Content-Type"] == "application/json"
        assert await answer.json() == {
            "Status": 409,
            "Message": "job already exists: a",
            "RequestID": "r-1",
            "Code": "ResourceInUse",
            "Component": "JobStore",
            "Hint": "h",
            "Details": {"k": "v"},
        }
