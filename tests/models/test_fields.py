"""Fields that a spec should not have: found with path and nearest name, and never where names are free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.fields import REPORTED, unknown_fields, warnings_of, written_job

CAPTURES = Path(__file__).parents[1] / "data" / "rest-captures"


def spec(**task: Any) -> dict[str, Any]:
    engine = {"Type": "docker", "Params": {"Image": "busybox"}}
    return {"Type": "batch", "Tasks": [{"Name": "main", "Engine": engine, **task}]}


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        (spec(InputSource=[]), "Tasks[0].InputSource: unknown field; did you mean InputSources?"),
        ({**spec(), "Foo": 1}, "Foo: unknown field"),
        (
            spec(Timeout=10),
            "Tasks[0].Timeout: unknown field; "
            "did you mean Timeouts with TotalTimeout or ExecutionTimeout, in seconds?",
        ),
        ({**spec(), "Publisher": {}}, "Publisher: unknown field; did you mean Tasks[0].Publisher?"),
        (
            spec(InputSources=[{"Source": {"Type": "ipfs"}, "Tarrget": "/x"}]),
            "Tasks[0].InputSources[0].Tarrget: unknown field; did you mean Target?",
        ),
        (
            spec(Engine={"Type": "docker", "Image": "x"}),
            "Tasks[0].Engine.Image: unknown field; did you mean Params.Image?",
        ),
        (
            spec(Network={"Type": "Host", "Ports": [{"Name": "a", "Statik": 1}]}),
            "Tasks[0].Network.Ports[0].Statik: unknown field; did you mean Static?",
        ),
        (
            {**spec(), "constraints": [{"key": "a", "operator": "=", "value": "b"}]},
            "Constraints[0].value: unknown field; did you mean Values?",
        ),
    ],
)
def test_an_unknown_field_is_named_with_its_path_and_the_nearest_name(
    plain: dict[str, Any], sentence: str
) -> None:
    assert [str(field) for field in unknown_fields(plain)] == [sentence]
    with pytest.raises(BadRequest) as caught:
        written_job(plain, "job.yaml")
    assert caught.value.message == f"job.yaml: {sentence}"
    assert warnings_of(unknown_fields(plain)) == [f"{sentence} (it is ignored)"]


@pytest.mark.parametrize(
    "plain",
    [
        json.loads(json.dumps(spec(InputSources=[], Timeouts={"TotalTimeout": 1})).lower()),
        {**spec(Meta={"Foo": "1"}, Env={"FOO": "1"}), "Labels": {"a": "b"}, "Meta": {"c": "d"}},
        spec(Engine={"Type": "docker", "Params": {"image": "x", "Odd": 1}}),
        spec(Engine={"Type": "quantum", "Params": {"Qubits": 3}}),
        spec(InputSources=[{"Source": {"Type": "urlDownload", "Params": {"Path": "/x"}}, "Target": "/i"}]),
        spec(Publisher={"Type": "ftp", "Params": {"Host": "x"}}),
        {**spec(), "x-common": {"A": 1}},
        {"Job": spec(), "Executions": {"Items": []}, "Credential": None},
        {**spec(), "ID": "j-1", "State": {"StateType": "Pending"}, "Version": 1, "CreateTime": 3},
    ],
)
def test_names_in_any_case_and_names_that_authors_choose_are_accepted(plain: dict[str, Any]) -> None:
    assert written_job(plain, "job.yaml").type == "batch"


def test_no_job_that_an_official_node_sent_has_an_unknown_field() -> None:
    jobs = []
    for file in sorted(CAPTURES.rglob("*.json")):
        plain = json.loads(file.read_text())
        if isinstance(plain, dict):
            items = plain.get("Items") or []
            jobs += [plain.get("Job"), *items] if items and "Tasks" in items[0] else [plain.get("Job")]
    jobs = [job for job in jobs if job]
    assert len(jobs) >= 3
    assert [unknown_fields(job) for job in jobs if unknown_fields(job)] == []


def test_many_unknown_fields_are_counted_and_long_or_hostile_names_are_shown_readably() -> None:
    plain = {**spec(), **{f"Foo{number}": 1 for number in range(500)}, "\x1b[31m" + "a" * 10_000: 1}
    warnings = warnings_of(unknown_fields(plain))
    assert len(warnings) == REPORTED + 1
    assert warnings[-1] == f"{501 - REPORTED} further unknown fields are ignored"
    with pytest.raises(BadRequest) as caught:
        written_job(plain, "the job spec")
    assert f"and {501 - REPORTED} further unknown fields" in caught.value.message
    (field,) = unknown_fields({**spec(), "\x1b[31m" + "a" * 10_000: 1})
    assert "\x1b" not in str(field)
    assert len(str(field)) < 200


def test_a_wrong_type_is_reported_before_unknown_fields() -> None:
    with pytest.raises(BadRequest, match="wrong type at Count"):
        written_job({**spec(), "Count": "two", "Foo": 1}, "job.yaml")
